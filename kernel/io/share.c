/* share.c: share access: whether a file may be opened again, by what each opener does and allows.
 * The file system keeps a SHARE_ACCESS for each file and calls these with its own lock held. */
#include "iop.h"

/* Notes in the file object what the open does and allows. FALSE: it wants no data, so it shares with all. */
static BOOLEAN NoteAccess(ACCESS_MASK Desired, ULONG Share, PFILE_OBJECT File) {
    File->ReadAccess = (Desired & (FILE_EXECUTE | FILE_READ_DATA)) != 0;
    File->WriteAccess = (Desired & (FILE_WRITE_DATA | FILE_APPEND_DATA)) != 0;
    File->DeleteAccess = (Desired & DELETE) != 0;
    if (!File->ReadAccess && !File->WriteAccess && !File->DeleteAccess) {
        return FALSE;
    }
    File->SharedRead = (Share & FILE_SHARE_READ) != 0;
    File->SharedWrite = (Share & FILE_SHARE_WRITE) != 0;
    File->SharedDelete = (Share & FILE_SHARE_DELETE) != 0;
    return TRUE;
}

static BOOLEAN TakesPart(const FILE_OBJECT *File) {
    return File->ReadAccess || File->WriteAccess || File->DeleteAccess;
}

static VOID Count(const FILE_OBJECT *File, PSHARE_ACCESS Share, ULONG By) {
    Share->OpenCount += By;
    Share->Readers += File->ReadAccess ? By : 0;
    Share->Writers += File->WriteAccess ? By : 0;
    Share->Deleters += File->DeleteAccess ? By : 0;
    Share->SharedRead += File->SharedRead ? By : 0;
    Share->SharedWrite += File->SharedWrite ? By : 0;
    Share->SharedDelete += File->SharedDelete ? By : 0;
}

static BOOLEAN Conflicts(const FILE_OBJECT *File, const SHARE_ACCESS *Share) {
    return (File->ReadAccess && Share->SharedRead < Share->OpenCount) ||
           (File->WriteAccess && Share->SharedWrite < Share->OpenCount) ||
           (File->DeleteAccess && Share->SharedDelete < Share->OpenCount) ||
           (Share->Readers != 0 && !File->SharedRead) || (Share->Writers != 0 && !File->SharedWrite) ||
           (Share->Deleters != 0 && !File->SharedDelete);
}

/* STATUS_SHARING_VIOLATION, or success and with Update the open is counted. wdm.h: IoCheckShareAccess. */
NTSTATUS IoCheckShareAccess(ACCESS_MASK DesiredAccess, ULONG DesiredShareAccess, PFILE_OBJECT FileObject,
                            PSHARE_ACCESS ShareAccess, BOOLEAN Update) {
    if (!NoteAccess(DesiredAccess, DesiredShareAccess, FileObject)) {
        return STATUS_SUCCESS;
    }
    if (Conflicts(FileObject, ShareAccess)) {
        return STATUS_SHARING_VIOLATION;
    }
    if (Update) {
        Count(FileObject, ShareAccess, 1);
    }
    return STATUS_SUCCESS;
}

/* The first open of a file. wdm.h: IoSetShareAccess. */
VOID IoSetShareAccess(ACCESS_MASK DesiredAccess, ULONG DesiredShareAccess, PFILE_OBJECT FileObject,
                      PSHARE_ACCESS ShareAccess) {
    *ShareAccess = (SHARE_ACCESS){};
    if (NoteAccess(DesiredAccess, DesiredShareAccess, FileObject)) {
        Count(FileObject, ShareAccess, 1);
    }
}

/* Counts an open that was checked without Update. wdm.h: IoUpdateShareAccess. */
VOID IoUpdateShareAccess(PFILE_OBJECT FileObject, PSHARE_ACCESS ShareAccess) {
    if (TakesPart(FileObject)) {
        Count(FileObject, ShareAccess, 1);
    }
}

/* At the file object's cleanup. wdm.h: IoRemoveShareAccess. */
VOID IoRemoveShareAccess(PFILE_OBJECT FileObject, PSHARE_ACCESS ShareAccess) {
    if (TakesPart(FileObject)) {
        Count(FileObject, ShareAccess, -1u);
    }
}

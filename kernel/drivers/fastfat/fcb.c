/* fcb.c: control blocks of open files, found by the place of their directory entry. A handle's last reference is the
 * cleanup, the file object's last one the close. A handle that is closed leaves nothing of the file unwritten; an error
 * of that write is the cleanup's status, and so ZwClose's. */
#include "fastfat.h"

PAGEABLE BOOLEAN FatIsDirectory(const FCB *Fcb) {
    return (Fcb->Node.Entry.Attributes & FAT_ATTRIBUTE_DIRECTORY) != 0;
}

/* Of a directory: the key for a search of its entries. */
PAGEABLE ULONG FatFirstCluster(PVCB Vcb, const FCB *Fcb) {
    return Fcb->Node.Disk == 0 ? Vcb->Volume->RootCluster : FatGetCluster(Vcb->Volume, &Fcb->Node.Entry);
}

/* FAT's attributes have NT's values. */
PAGEABLE ULONG FatNtAttributes(const FAT_ENTRY *Entry) {
    ULONG Attributes = Entry->Attributes & (FILE_ATTRIBUTE_READONLY | FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM |
                                            FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_ARCHIVE);
    return Attributes == 0 ? FILE_ATTRIBUTE_NORMAL : Attributes;
}

PAGEABLE VOID FatInitializeFcbs(PVCB Vcb) {
    InitializeListHead(&Vcb->Fcbs);
    for (ULONG i = 0; i < FCB_BUCKETS; i++) {
        InitializeListHead(&Vcb->Buckets[i]);
    }
}

PAGEABLE static PLIST_ENTRY BucketOf(PVCB Vcb, ULONG64 Disk) {
    return &Vcb->Buckets[Disk / FAT_ENTRY_BYTES % FCB_BUCKETS];
}

PAGEABLE PFCB FatFindFcb(PVCB Vcb, ULONG64 Disk) {
    PLIST_ENTRY Bucket = BucketOf(Vcb, Disk);
    for (PLIST_ENTRY Entry = Bucket->Flink; Entry != Bucket; Entry = Entry->Flink) {
        PFCB Fcb = CONTAINING_RECORD(Entry, FCB, BucketEntry);
        if (Fcb->Node.Disk == Disk && !Fcb->IsVolume) {
            return Fcb;
        }
    }
    return NULL;
}

PAGEABLE VOID FatMoveFcb(PVCB Vcb, PFCB Fcb) {
    RemoveEntryList(&Fcb->BucketEntry);
    InsertTailList(BucketOf(Vcb, Fcb->Node.Disk), &Fcb->BucketEntry);
}

PAGEABLE BOOLEAN FatSetPath(PFCB Fcb, PCUNICODE_STRING Path) {
    PWCHAR Buffer = NULL;
    if (Path->Length != 0) {
        Buffer = ExAllocatePoolWithTag(PagedPool, Path->Length, TAG_FAT);
        if (Buffer == NULL) {
            return FALSE;
        }
        RtlCopyMemory(Buffer, Path->Buffer, Path->Length);
    }
    if (Fcb->Path.Buffer) {
        ExFreePoolWithTag(Fcb->Path.Buffer, TAG_FAT);
    }
    Fcb->Path.Buffer = Buffer;
    Fcb->Path.Length = Fcb->Path.MaximumLength = Path->Length;
    return TRUE;
}

PAGEABLE PFCB FatCreateFcb(PVCB Vcb, const FAT_NODE *Node, PCUNICODE_STRING Path) {
    PFCB Fcb = ExAllocatePoolWithTag(PagedPool, sizeof(FCB), TAG_FAT);
    if (Fcb == NULL) {
        return NULL;
    }
    RtlZeroMemory(Fcb, sizeof(FCB));
    Fcb->Node = *Node;
    if (!FatSetPath(Fcb, Path)) {
        ExFreePoolWithTag(Fcb, TAG_FAT);
        return NULL;
    }
    InsertTailList(&Vcb->Fcbs, &Fcb->ListEntry);
    InsertTailList(BucketOf(Vcb, Node->Disk), &Fcb->BucketEntry);
    return Fcb;
}

PAGEABLE VOID FatFreeFcb(PFCB Fcb) {
    RemoveEntryList(&Fcb->ListEntry);
    RemoveEntryList(&Fcb->BucketEntry);
    if (Fcb->Path.Buffer) {
        ExFreePoolWithTag(Fcb->Path.Buffer, TAG_FAT);
    }
    ExFreePoolWithTag(Fcb, TAG_FAT);
}

PAGEABLE VOID FatForgetFcb(PFCB Fcb) {
    Fcb->IsDeleted = TRUE;
    RemoveEntryList(&Fcb->ListEntry); /* its place may be another file's from now on */
    RemoveEntryList(&Fcb->BucketEntry);
    InitializeListHead(&Fcb->ListEntry);
    InitializeListHead(&Fcb->BucketEntry);
}

/* A directory with open files in it keeps its place. */
PAGEABLE BOOLEAN FatHasOpenChildren(PVCB Vcb, const FCB *Directory) {
    ULONG Length = Directory->Path.Length / sizeof(WCHAR);
    for (PLIST_ENTRY Entry = Vcb->Fcbs.Flink; Entry != &Vcb->Fcbs; Entry = Entry->Flink) {
        PFCB Fcb = CONTAINING_RECORD(Entry, FCB, ListEntry);
        if (Fcb->Handles != 0 && Fcb->Path.Length / sizeof(WCHAR) > Length + 1 && Fcb->Path.Buffer[Length] == '\\' &&
            FatNamesEqual(Fcb->Path.Buffer, Length, Directory->Path.Buffer, Length)) {
            return TRUE;
        }
    }
    return FALSE;
}

/* With the last handle of a file that is to go. If it cannot be removed it stays. */
PAGEABLE static VOID DeleteNow(PVCB Vcb, PFCB Fcb) {
    BOOLEAN IsEmpty = TRUE;
    if (FatIsDirectory(Fcb) && !NT_SUCCESS(FatIsDirectoryEmpty(Vcb->Volume, FatFirstCluster(Vcb, Fcb), &IsEmpty))) {
        IsEmpty = FALSE;
    }
    if (IsEmpty && NT_SUCCESS(FatDelete(Vcb->Volume, &Fcb->Node))) {
        FatForgetFcb(Fcb);
    }
    Fcb->IsDeletePending = FALSE;
}

PAGEABLE NTSTATUS FatCommonCleanup(PVCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack) {
    PFILE_OBJECT File = Stack->FileObject;
    PFCB Fcb = File->FsContext;
    PCCB Ccb = File->FsContext2;
    NTSTATUS Status = STATUS_SUCCESS;
    UNREFERENCED_PARAMETER(Irp);
    if (Fcb == NULL || File->Flags & FO_CLEANUP_COMPLETE) {
        return STATUS_SUCCESS;
    }
    IoRemoveShareAccess(File, &Fcb->ShareAccess);
    Fcb->IsDeletePending |= Ccb->DeletesOnClose;
    Fcb->Handles--;
    if (Fcb->Handles == 0 && Fcb->IsDeletePending && !Fcb->IsDeleted) {
        DeleteNow(Vcb, Fcb);
    }
    if (!Fcb->IsDeleted) {
        Status = FatFlush(Vcb, Fcb);
    }
    if (Fcb->Handles == 0) {
        if (!NT_SUCCESS(Status)) {
            DbgPrint("fastfat: %wZ: the last bytes written are lost: status 0x%08X\n", &Fcb->Path, Status);
        }
        FatDiscard(Vcb, Fcb);
    }
    File->Flags |= FO_CLEANUP_COMPLETE;
    return Status;
}

PAGEABLE NTSTATUS FatCommonClose(PVCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack) {
    PFILE_OBJECT File = Stack->FileObject;
    PFCB Fcb = File->FsContext;
    PCCB Ccb = File->FsContext2;
    UNREFERENCED_PARAMETER(Vcb);
    UNREFERENCED_PARAMETER(Irp);
    if (Fcb == NULL) {
        return STATUS_SUCCESS;
    }
    if (Ccb->Pattern.Buffer) {
        ExFreePoolWithTag(Ccb->Pattern.Buffer, TAG_FAT);
    }
    ExFreePoolWithTag(Ccb, TAG_FAT);
    File->FsContext = File->FsContext2 = NULL;
    if (--Fcb->References == 0) {
        FatFreeFcb(Fcb);
    }
    return STATUS_SUCCESS;
}

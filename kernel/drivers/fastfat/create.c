/* create.c: open and create: from a path to a file object with its control blocks.
 *
 * The order of the checks decides which status a caller sees: the path, the name, the kind of file there, a deletion
 * under way, the access asked for, the share access of others. */
#include "fastfat.h"

/* A create and its parts. */
typedef struct _CREATE {
    PFILE_OBJECT File;
    ACCESS_MASK Access;
    ULONG Disposition, Options;
    USHORT Share;
    UCHAR Attributes;    /* for a new file */
    UNICODE_STRING Path; /* whole, from the root */
    BOOLEAN EndsInBackslash, OpensTargetDirectory;
    ULONG Directory;       /* first cluster of the directory that the last name is in */
    ULONG64 DirectoryDisk; /* of that directory's entry; 0: it is the root */
    const WCHAR *Name;     /* the last name */
    ULONG NameLength;      /* 0: the root */
    BOOLEAN Exists;
    FAT_FOUND Found;
    ULONG_PTR Information;
} CREATE, *PCREATE;

/* ---- The path ---- */

/* RelatedFileObject's path and the name, or the name alone; trailing backslash dropped. The buffer is the caller's to
 * free. */
PAGEABLE static NTSTATUS BuildPath(PCREATE Create) {
    PCUNICODE_STRING Name = &Create->File->FileName;
    PFILE_OBJECT Related = Create->File->RelatedFileObject;
    PFCB Parent = Related ? Related->FsContext : NULL;
    ULONG ParentBytes = Parent && Parent->Path.Length > sizeof(WCHAR) ? Parent->Path.Length : 0, Used = 0;
    if (Parent ? (Name->Length != 0 && Name->Buffer[0] == '\\') : (Name->Length != 0 && Name->Buffer[0] != '\\')) {
        return Parent ? STATUS_INVALID_PARAMETER : STATUS_OBJECT_NAME_INVALID;
    }
    ULONG Bytes = ParentBytes + Name->Length + 2 * sizeof(WCHAR);
    if (Bytes > 0xFFFE) {
        return STATUS_OBJECT_NAME_INVALID;
    }
    PWCHAR Buffer = ExAllocatePoolWithTag(PagedPool, Bytes, TAG_FAT);
    if (Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    if (Parent) {
        RtlCopyMemory(Buffer, Parent->Path.Buffer, ParentBytes);
        Used = ParentBytes / sizeof(WCHAR);
        if (Name->Length != 0 || Used == 0) {
            Buffer[Used++] = '\\';
        }
    }
    RtlCopyMemory(Buffer + Used, Name->Buffer, Name->Length);
    Used += Name->Length / sizeof(WCHAR);
    if (Used > 1 && Buffer[Used - 1] == '\\') {
        Create->EndsInBackslash = TRUE;
        Used--;
    }
    Create->Path.Buffer = Buffer;
    Create->Path.Length = (USHORT)(Used * sizeof(WCHAR));
    Create->Path.MaximumLength = (USHORT)Bytes;
    return STATUS_SUCCESS;
}

/* The next name of the path from *At on; 0 at its end. */
PAGEABLE static ULONG NextName(PCUNICODE_STRING Path, PULONG At, const WCHAR **Name) {
    ULONG End = Path->Length / sizeof(WCHAR), Start = *At + 1; /* behind a backslash */
    if (Start >= End) {
        return 0;
    }
    ULONG Stop = Start;
    while (Stop < End && Path->Buffer[Stop] != '\\') {
        Stop++;
    }
    *Name = Path->Buffer + Start;
    *At = Stop;
    return Stop - Start;
}

/* A path is judged as a whole before the disk is asked. */
PAGEABLE static BOOLEAN IsPathValid(PCUNICODE_STRING Path) {
    ULONG At = 0, End = Path->Length / sizeof(WCHAR);
    while (At + 1 < End) {
        const WCHAR *Name = NULL;
        ULONG Length = NextName(Path, &At, &Name);
        if (!FatIsNameValid(Name, Length)) {
            return FALSE;
        }
    }
    return End <= 1 || Path->Buffer[End - 1] != '\\';
}

/* Walks to the last name and looks it up. */
PAGEABLE static NTSTATUS FindTarget(PVCB Vcb, PCREATE Create) {
    ULONG At = 0, Length;
    const WCHAR *Name;
    NTSTATUS Status = STATUS_SUCCESS;
    Create->Directory = Vcb->Volume->RootCluster;
    Create->Exists = TRUE; /* the root */
    while ((Length = NextName(&Create->Path, &At, &Name)) != 0) {
        if (Create->NameLength != 0) { /* the one before must be a directory that is there */
            if (!Create->Exists || !(Create->Found.Entry.Attributes & FAT_ATTRIBUTE_DIRECTORY)) {
                return STATUS_OBJECT_PATH_NOT_FOUND;
            }
            Create->Directory = FatGetCluster(Vcb->Volume, &Create->Found.Entry);
            Create->DirectoryDisk = Create->Found.Disk;
            if (!FatIsCluster(Vcb->Volume, Create->Directory)) {
                return STATUS_FILE_CORRUPT_ERROR;
            }
        }
        Status = FatLookup(Vcb->Volume, Create->Directory, Name, Length, &Create->Found);
        if (!NT_SUCCESS(Status) && Status != STATUS_OBJECT_NAME_NOT_FOUND) {
            return Status;
        }
        Create->Exists = NT_SUCCESS(Status);
        Create->Name = Name;
        Create->NameLength = Length;
    }
    return STATUS_SUCCESS;
}

/* ---- The file object ---- */

/* Last step of every create; nothing fails after it. */
PAGEABLE static NTSTATUS Attach(PVCB Vcb, PCREATE Create, PFCB Fcb, ULONG_PTR Information) {
    PCCB Ccb = ExAllocatePoolWithTag(PagedPool, sizeof(CCB), TAG_FAT);
    NTSTATUS Status = Ccb == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
    UNREFERENCED_PARAMETER(Vcb);
    if (NT_SUCCESS(Status) && Fcb->Handles != 0) {
        Status = IoCheckShareAccess(Create->Access, Create->Share, Create->File, &Fcb->ShareAccess, TRUE);
    } else if (NT_SUCCESS(Status)) {
        IoSetShareAccess(Create->Access, Create->Share, Create->File, &Fcb->ShareAccess);
    }
    if (!NT_SUCCESS(Status)) {
        if (Ccb) {
            ExFreePoolWithTag(Ccb, TAG_FAT);
        }
        if (Fcb->References == 0) {
            FatFreeFcb(Fcb);
        }
        return Status;
    }
    RtlZeroMemory(Ccb, sizeof(CCB));
    Ccb->DeletesOnClose = (Create->Options & FILE_DELETE_ON_CLOSE) != 0;
    Fcb->References++;
    Fcb->Handles++;
    Create->File->FsContext = Fcb;
    Create->File->FsContext2 = Ccb;
    Create->Information = Information;
    return STATUS_SUCCESS;
}

/* The FCB of what exists, or a new one. */
PAGEABLE static PFCB GetFcb(PVCB Vcb, PCREATE Create) {
    FAT_NODE Node;
    if (Create->NameLength == 0) {
        FatMakeRootNode(Vcb->Volume, &Node);
    } else {
        FatMakeNode(&Node, Create->Directory, &Create->Found);
    }
    PFCB Fcb = FatFindFcb(Vcb, Node.Disk);
    return Fcb ? Fcb : FatCreateFcb(Vcb, &Node, &Create->Path);
}

/* ---- What exists ---- */

PAGEABLE static BOOLEAN Overwrites(const CREATE *Create) {
    return Create->Disposition == FILE_SUPERSEDE || Create->Disposition == FILE_OVERWRITE ||
           Create->Disposition == FILE_OVERWRITE_IF;
}

PAGEABLE static NTSTATUS CheckKind(const CREATE *Create, BOOLEAN IsDirectory) {
    if (Create->Disposition == FILE_CREATE) {
        return STATUS_OBJECT_NAME_COLLISION;
    }
    if (IsDirectory) {
        if (Create->Options & FILE_NON_DIRECTORY_FILE) {
            return STATUS_FILE_IS_A_DIRECTORY;
        }
        return Overwrites(Create) ? STATUS_OBJECT_NAME_COLLISION : STATUS_SUCCESS;
    }
    if (Create->Options & FILE_DIRECTORY_FILE) {
        return STATUS_NOT_A_DIRECTORY;
    }
    return Create->EndsInBackslash ? STATUS_OBJECT_NAME_INVALID : STATUS_SUCCESS;
}

PAGEABLE static NTSTATUS CheckAttributes(const CREATE *Create, const FCB *Fcb) {
    UCHAR Has = Fcb->Node.Entry.Attributes, Hiding = FAT_ATTRIBUTE_HIDDEN | FAT_ATTRIBUTE_SYSTEM;
    BOOLEAN IsReadOnly = (Has & FAT_ATTRIBUTE_READ_ONLY) != 0 && !FatIsDirectory(Fcb);
    if (Create->Options & FILE_DELETE_ON_CLOSE && (IsReadOnly || Fcb->Node.Disk == 0)) {
        return STATUS_CANNOT_DELETE;
    }
    if (IsReadOnly && (Overwrites(Create) || Create->Access & (FILE_WRITE_DATA | FILE_APPEND_DATA))) {
        return STATUS_ACCESS_DENIED;
    }
    /* A caller that replaces a hidden file must know that it is one. */
    return Overwrites(Create) && (Has & Hiding & ~Create->Attributes) ? STATUS_ACCESS_DENIED : STATUS_SUCCESS;
}

/* Asks the others first, as a writer: overwriting is writing. */
PAGEABLE static NTSTATUS OverwriteFile(PVCB Vcb, PCREATE Create, PFCB Fcb) {
    NTSTATUS Status = STATUS_SUCCESS;
    if (Fcb->Handles != 0) {
        Status =
            IoCheckShareAccess(Create->Access | FILE_WRITE_DATA, Create->Share, Create->File, &Fcb->ShareAccess, FALSE);
    }
    if (NT_SUCCESS(Status)) {
        FatDiscard(Vcb, Fcb);
        Status = FatEmptyFile(Vcb->Volume, &Fcb->Node, Create->Attributes | FAT_ATTRIBUTE_ARCHIVE);
    }
    return Status;
}

PAGEABLE static NTSTATUS OpenExisting(PVCB Vcb, PCREATE Create) {
    PFCB Fcb = GetFcb(Vcb, Create);
    if (Fcb == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    NTSTATUS Status = Fcb->IsDeletePending ? STATUS_DELETE_PENDING : CheckKind(Create, FatIsDirectory(Fcb));
    if (NT_SUCCESS(Status)) {
        Status = CheckAttributes(Create, Fcb);
    }
    if (NT_SUCCESS(Status) && Overwrites(Create)) {
        Status = OverwriteFile(Vcb, Create, Fcb);
    }
    if (!NT_SUCCESS(Status)) {
        if (Fcb->References == 0) {
            FatFreeFcb(Fcb);
        }
        return Status;
    }
    return Attach(Vcb, Create, Fcb,
                  !Overwrites(Create)                     ? FILE_OPENED
                  : Create->Disposition == FILE_SUPERSEDE ? FILE_SUPERSEDED
                                                          : FILE_OVERWRITTEN);
}

/* ---- What does not ---- */

PAGEABLE static NTSTATUS CreateNew(PVCB Vcb, PCREATE Create) {
    BOOLEAN IsDirectory = (Create->Options & FILE_DIRECTORY_FILE) != 0;
    if (Create->Disposition == FILE_OPEN || Create->Disposition == FILE_OVERWRITE) {
        return STATUS_OBJECT_NAME_NOT_FOUND;
    }
    if (Create->EndsInBackslash && !IsDirectory) {
        return STATUS_OBJECT_NAME_INVALID;
    }
    if (!IsDirectory && Create->Options & FILE_DELETE_ON_CLOSE && Create->Attributes & FAT_ATTRIBUTE_READ_ONLY) {
        return STATUS_CANNOT_DELETE;
    }
    FAT_NODE Node;
    UCHAR Attributes = Create->Attributes | (IsDirectory ? FAT_ATTRIBUTE_DIRECTORY : FAT_ATTRIBUTE_ARCHIVE);
    NTSTATUS Status = FatCreate(Vcb->Volume, Create->Directory, Create->Name, Create->NameLength, Attributes, &Node);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    PFCB Fcb = FatCreateFcb(Vcb, &Node, &Create->Path);
    Status = Fcb == NULL ? STATUS_INSUFFICIENT_RESOURCES : Attach(Vcb, Create, Fcb, FILE_CREATED);
    if (!NT_SUCCESS(Status)) {
        FatDelete(Vcb->Volume, &Node);
    }
    return Status;
}

/* ---- The rest ---- */

/* For a rename: opens the directory of the last name, and says whether the name exists. */
PAGEABLE static NTSTATUS OpenTargetDirectory(PVCB Vcb, PCREATE Create) {
    ULONG Length = Create->Path.Length / sizeof(WCHAR) - Create->NameLength - 1;
    ULONG_PTR Information = Create->Exists ? FILE_EXISTS : FILE_DOES_NOT_EXIST;
    if (Create->NameLength == 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Create->Path.Length = (USHORT)((Length == 0 ? 1 : Length) * sizeof(WCHAR));
    Create->NameLength = 0;
    Create->Disposition = FILE_OPEN;
    Create->Options &= ~(FILE_NON_DIRECTORY_FILE | FILE_DELETE_ON_CLOSE);
    Create->EndsInBackslash = FALSE;
    NTSTATUS Status = FindTarget(Vcb, Create);
    if (NT_SUCCESS(Status)) {
        Status = Create->Exists ? OpenExisting(Vcb, Create) : STATUS_OBJECT_PATH_NOT_FOUND;
    }
    Create->Information = Information;
    return Status;
}

/* "\??\C:" without a backslash: for questions about the volume. */
PAGEABLE static NTSTATUS OpenVolume(PVCB Vcb, PCREATE Create) {
    FAT_NODE Node;
    UNICODE_STRING None = {};
    if (Create->Disposition != FILE_OPEN && Create->Disposition != FILE_OPEN_IF) {
        return STATUS_ACCESS_DENIED;
    }
    FatMakeRootNode(Vcb->Volume, &Node);
    Node.Entry.Attributes = 0;
    PFCB Fcb = FatCreateFcb(Vcb, &Node, &None);
    if (Fcb == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Fcb->IsVolume = TRUE;
    Create->Options &= ~FILE_DELETE_ON_CLOSE;
    return Attach(Vcb, Create, Fcb, FILE_OPENED);
}

/* In a directory that is about to be deleted nothing is made. */
PAGEABLE static BOOLEAN IsDirectoryDying(PVCB Vcb, const CREATE *Create) {
    PFCB Directory = FatFindFcb(Vcb, Create->DirectoryDisk);
    return Directory != NULL && Directory->IsDeletePending;
}

PAGEABLE static NTSTATUS OpenByPath(PVCB Vcb, PCREATE Create) {
    NTSTATUS Status = BuildPath(Create);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IsPathValid(&Create->Path) ? FindTarget(Vcb, Create) : STATUS_OBJECT_NAME_INVALID;
    if (NT_SUCCESS(Status)) {
        Status = Create->OpensTargetDirectory    ? OpenTargetDirectory(Vcb, Create)
                 : Create->Exists                ? OpenExisting(Vcb, Create)
                 : IsDirectoryDying(Vcb, Create) ? STATUS_DELETE_PENDING
                                                 : CreateNew(Vcb, Create);
    }
    ExFreePoolWithTag(Create->Path.Buffer, TAG_FAT);
    return Status;
}

PAGEABLE NTSTATUS FatCommonCreate(PVCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack) {
    PCREATE Create = ExAllocatePoolWithTag(PagedPool, sizeof(CREATE), TAG_FAT);
    if (Create == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Create, sizeof(CREATE));
    Create->File = Stack->FileObject;
    Create->Access = Stack->Parameters.Create.SecurityContext->DesiredAccess;
    Create->Disposition = Stack->Parameters.Create.Options >> 24;
    Create->Options = Stack->Parameters.Create.Options & 0xFFFFFF;
    Create->Share = Stack->Parameters.Create.ShareAccess;
    Create->Attributes = Stack->Parameters.Create.FileAttributes &
                         (FAT_ATTRIBUTE_READ_ONLY | FAT_ATTRIBUTE_HIDDEN | FAT_ATTRIBUTE_SYSTEM);
    Create->OpensTargetDirectory = (Stack->Flags & SL_OPEN_TARGET_DIRECTORY) != 0;
    NTSTATUS Status = Create->File->FileName.Length == 0 && Create->File->RelatedFileObject == NULL
                          ? OpenVolume(Vcb, Create)
                          : OpenByPath(Vcb, Create);
    if (NT_SUCCESS(Status)) {
        Irp->IoStatus.Information = Create->Information;
    }
    ExFreePoolWithTag(Create, TAG_FAT);
    return Status;
}

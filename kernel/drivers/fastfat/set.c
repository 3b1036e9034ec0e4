/* set.c: changes to a file's times, attributes, name, place and length, and its deletion. */
#include "fastfat.h"

/* ---- Times and attributes ---- */

/* 0 leaves a time as it is, and so does -1 (which stops updates, of which there are none to stop). */
PAGEABLE static BOOLEAN IsGiven(LARGE_INTEGER Time) {
    return Time.QuadPart > 0;
}

/* Gathered writes are done first: their time of writing is not to replace the one given here. */
PAGEABLE static NTSTATUS SetBasic(PVCB Vcb, PFCB Fcb, const FILE_BASIC_INFORMATION *Info) {
    NTSTATUS Status = FatFlush(Vcb, Fcb);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    FAT_ENTRY Entry = Fcb->Node.Entry;
    ULONG Attributes = Info->FileAttributes;
    UCHAR Ours = FAT_ATTRIBUTE_READ_ONLY | FAT_ATTRIBUTE_HIDDEN | FAT_ATTRIBUTE_SYSTEM | FAT_ATTRIBUTE_ARCHIVE;
    if ((Attributes & FILE_ATTRIBUTE_DIRECTORY) && !FatIsDirectory(Fcb)) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Attributes != 0) {
        Entry.Attributes = (UCHAR)((Entry.Attributes & ~Ours) | (Attributes & Ours));
    }
    if (IsGiven(Info->CreationTime)) {
        FatEncodeTime(Info->CreationTime.QuadPart, &Entry.CreateDate, &Entry.CreateTime, &Entry.CreateTenths);
    }
    if (IsGiven(Info->LastWriteTime)) {
        FatEncodeTime(Info->LastWriteTime.QuadPart, &Entry.WriteDate, &Entry.WriteTime, NULL);
    }
    if (IsGiven(Info->LastAccessTime)) {
        USHORT Clock;
        FatEncodeTime(Info->LastAccessTime.QuadPart, &Entry.AccessDate, &Clock, NULL);
    }
    return FatWriteEntry(Vcb->Volume, &Fcb->Node, &Entry);
}

/* ---- Name and place ---- */

/* Removes what is in the way of Name in Directory, FCB included. STATUS_SUCCESS: the name is free, or
 * the file's own. */
PAGEABLE static NTSTATUS ClearTarget(PVCB Vcb, PFCB Fcb, ULONG Directory, PCUNICODE_STRING Name, BOOLEAN Replaces,
                                     PFAT_FOUND Found) {
    NTSTATUS Status = FatLookup(Vcb->Volume, Directory, Name->Buffer, Name->Length / sizeof(WCHAR), Found);
    if (Status == STATUS_OBJECT_NAME_NOT_FOUND) {
        return STATUS_SUCCESS;
    }
    if (!NT_SUCCESS(Status) || Found->Disk == Fcb->Node.Disk) {
        return Status;
    }
    if (!Replaces) {
        return STATUS_OBJECT_NAME_COLLISION;
    }
    PFCB Target = FatFindFcb(Vcb, Found->Disk);
    if (Found->Entry.Attributes & (FAT_ATTRIBUTE_DIRECTORY | FAT_ATTRIBUTE_READ_ONLY) ||
        (Target && Target->Handles != 0)) {
        return STATUS_ACCESS_DENIED;
    }
    FAT_NODE Node;
    FatMakeNode(&Node, Directory, Found);
    Status = FatDelete(Vcb->Volume, &Node);
    if (NT_SUCCESS(Status) && Target) {
        FatForgetFcb(Target);
    }
    return Status;
}

/* Directory's path, a backslash, the name. The buffer is the caller's to free. */
PAGEABLE static NTSTATUS JoinPath(PCUNICODE_STRING Directory, PCUNICODE_STRING Name, PUNICODE_STRING Path) {
    ULONG Length = Directory->Length > sizeof(WCHAR) ? Directory->Length : 0;
    ULONG Bytes = Length + sizeof(WCHAR) + Name->Length;
    Path->Buffer = Bytes > 0xFFFE ? NULL : ExAllocatePoolWithTag(PagedPool, Bytes, TAG_FAT);
    if (Path->Buffer == NULL) {
        return Bytes > 0xFFFE ? STATUS_OBJECT_NAME_INVALID : STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlCopyMemory(Path->Buffer, Directory->Buffer, Length);
    Path->Buffer[Length / sizeof(WCHAR)] = '\\';
    RtlCopyMemory(Path->Buffer + Length / sizeof(WCHAR) + 1, Name->Buffer, Name->Length);
    Path->Length = Path->MaximumLength = (USHORT)Bytes;
    return STATUS_SUCCESS;
}

/* The part of a path in front of its last name. */
PAGEABLE static UNICODE_STRING ParentPath(PCUNICODE_STRING Path) {
    UNICODE_STRING Parent = *Path;
    while (Parent.Length > sizeof(WCHAR) && Parent.Buffer[Parent.Length / sizeof(WCHAR) - 1] != '\\') {
        Parent.Length -= sizeof(WCHAR);
    }
    Parent.Length -= Parent.Length > sizeof(WCHAR) ? sizeof(WCHAR) : 0;
    return Parent;
}

/* The last name of what the caller wants; FALSE: not a name. */
PAGEABLE static BOOLEAN GetNewName(const FILE_RENAME_INFORMATION *Info, ULONG Length, PUNICODE_STRING Name) {
    ULONG Bytes = Info->FileNameLength, Offset = FIELD_OFFSET(FILE_RENAME_INFORMATION, FileName);
    if (Length < Offset || Bytes > Length - Offset || Bytes % sizeof(WCHAR) != 0 || Bytes > 0xFFFE) {
        return FALSE;
    }
    ULONG End = Bytes / sizeof(WCHAR), Start = End;
    while (Start > 0 && Info->FileName[Start - 1] != '\\') {
        Start--;
    }
    Name->Buffer = (PWCHAR)Info->FileName + Start;
    Name->Length = Name->MaximumLength = (USHORT)((End - Start) * sizeof(WCHAR));
    return FatIsNameValid(Name->Buffer, End - Start);
}

/* The file moves, then its path. */
PAGEABLE static NTSTATUS Move(PVCB Vcb, PFCB Fcb, ULONG Directory, PCUNICODE_STRING DirectoryPath,
                              PCUNICODE_STRING Name, BOOLEAN Replaces) {
    UNICODE_STRING Path;
    NTSTATUS Status = JoinPath(DirectoryPath, Name, &Path);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    PFAT_FOUND Found = ExAllocatePoolWithTag(PagedPool, sizeof(FAT_FOUND), TAG_FAT);
    Status = Found == NULL ? STATUS_INSUFFICIENT_RESOURCES : ClearTarget(Vcb, Fcb, Directory, Name, Replaces, Found);
    if (NT_SUCCESS(Status)) {
        Status = FatRename(Vcb->Volume, &Fcb->Node, Directory, Name->Buffer, Name->Length / sizeof(WCHAR));
    }
    if (NT_SUCCESS(Status)) {
        FatMoveFcb(Vcb, Fcb);
        if (Fcb->Path.Buffer) {
            ExFreePoolWithTag(Fcb->Path.Buffer, TAG_FAT);
        }
        Fcb->Path = Path;
    } else {
        ExFreePoolWithTag(Path.Buffer, TAG_FAT);
    }
    if (Found) {
        ExFreePoolWithTag(Found, TAG_FAT);
    }
    return Status;
}

PAGEABLE static NTSTATUS Rename(PVCB Vcb, PFCB Fcb, PIRP Irp, PIO_STACK_LOCATION Stack) {
    const FILE_RENAME_INFORMATION *Info = Irp->AssociatedIrp.SystemBuffer;
    PFILE_OBJECT Target = Stack->Parameters.SetFile.FileObject;
    PFCB Parent = Target ? Target->FsContext : NULL;
    UNICODE_STRING Name, Path = Parent ? Parent->Path : ParentPath(&Fcb->Path);
    ULONG Directory = Parent ? FatFirstCluster(Vcb, Parent) : Fcb->Node.Directory;
    if (!GetNewName(Info, Stack->Parameters.SetFile.Length, &Name)) {
        return STATUS_OBJECT_NAME_INVALID;
    }
    if (Fcb->Node.Disk == 0 || (Target && (Parent == NULL || !FatIsDirectory(Parent)))) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Fcb->IsDeletePending || Fcb->IsDeleted || (Parent && Parent->IsDeletePending)) {
        return STATUS_DELETE_PENDING;
    }
    if (FatIsDirectory(Fcb) && (FatHasOpenChildren(Vcb, Fcb) || Parent == Fcb)) {
        return STATUS_ACCESS_DENIED;
    }
    return Move(Vcb, Fcb, Directory, &Path, &Name, Stack->Parameters.SetFile.ReplaceIfExists);
}

/* ---- The end of its life ---- */

PAGEABLE static NTSTATUS SetDisposition(PVCB Vcb, PFCB Fcb, PFILE_OBJECT File, BOOLEAN Deletes) {
    BOOLEAN IsEmpty = TRUE;
    NTSTATUS Status = STATUS_SUCCESS;
    if (Deletes && (Fcb->Node.Disk == 0 || Fcb->Node.Entry.Attributes & FAT_ATTRIBUTE_READ_ONLY)) {
        return STATUS_CANNOT_DELETE;
    }
    if (Deletes && FatIsDirectory(Fcb)) {
        Status = FatIsDirectoryEmpty(Vcb->Volume, FatFirstCluster(Vcb, Fcb), &IsEmpty);
    }
    if (!NT_SUCCESS(Status) || !IsEmpty) {
        return IsEmpty ? Status : STATUS_DIRECTORY_NOT_EMPTY;
    }
    Fcb->IsDeletePending = Deletes;
    File->DeletePending = Deletes;
    return STATUS_SUCCESS;
}

/* ---- Length ---- */

/* An allocation beyond the end is a promise that FAT cannot keep and no query shows; a smaller one cuts the file. */
PAGEABLE static NTSTATUS SetLength(PVCB Vcb, PFCB Fcb, LONGLONG Size, BOOLEAN IsAllocation) {
    if (FatIsDirectory(Fcb) || Size < 0) {
        return STATUS_INVALID_PARAMETER;
    }
    if (IsAllocation && Size >= FatSizeOf(Fcb)) {
        return Size > 0xFFFFFFFFLL ? STATUS_DISK_FULL : STATUS_SUCCESS;
    }
    NTSTATUS Status = FatFlush(Vcb, Fcb);
    if (NT_SUCCESS(Status)) {
        FatDiscard(Vcb, Fcb);
        Status = FatSetSize(Vcb->Volume, &Fcb->Node, (ULONG64)Size);
    }
    return Status;
}

/* ---- The request ---- */

PAGEABLE static ULONG LeastLength(FILE_INFORMATION_CLASS Class) {
    switch (Class) {
    case FileBasicInformation:
        return sizeof(FILE_BASIC_INFORMATION);
    case FileRenameInformation:
        return sizeof(FILE_RENAME_INFORMATION);
    case FileDispositionInformation:
        return sizeof(FILE_DISPOSITION_INFORMATION);
    case FilePositionInformation:
    case FileAllocationInformation:
    case FileEndOfFileInformation:
        return sizeof(LARGE_INTEGER);
    default:
        return 0;
    }
}

PAGEABLE NTSTATUS FatCommonSet(PVCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack) {
    PFILE_OBJECT File = Stack->FileObject;
    PFCB Fcb = File->FsContext;
    PVOID Buffer = Irp->AssociatedIrp.SystemBuffer;
    FILE_INFORMATION_CLASS Class = Stack->Parameters.SetFile.FileInformationClass;
    ULONG Least = LeastLength(Class);
    if (Fcb == NULL || Fcb->IsVolume || Least == 0) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Stack->Parameters.SetFile.Length < Least) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    if (Fcb->IsDeleted && Class != FilePositionInformation) {
        return STATUS_FILE_DELETED;
    }
    switch (Class) {
    case FileBasicInformation:
        return SetBasic(Vcb, Fcb, Buffer);
    case FileRenameInformation:
        return Rename(Vcb, Fcb, Irp, Stack);
    case FileDispositionInformation:
        return SetDisposition(Vcb, Fcb, File, ((PFILE_DISPOSITION_INFORMATION)Buffer)->DeleteFile);
    case FilePositionInformation:
        File->CurrentByteOffset = ((PFILE_POSITION_INFORMATION)Buffer)->CurrentByteOffset;
        return STATUS_SUCCESS;
    default:
        return SetLength(Vcb, Fcb, *(LONGLONG *)Buffer, Class == FileAllocationInformation);
    }
}

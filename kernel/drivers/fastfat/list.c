/* list.c: directory listings: as many entries as the buffer holds, continued by the next call. */
#include "fastfat.h"

/* The traits of a class: the name's place and whether there are times and sizes. */
typedef struct _LAYOUT {
    ULONG NameOffset, LengthOffset;
    BOOLEAN HasSizes, HasShortName;
} LAYOUT;

PAGEABLE static BOOLEAN GetLayout(FILE_INFORMATION_CLASS Class, LAYOUT *Layout) {
    ULONG LengthOffset = FIELD_OFFSET(FILE_DIRECTORY_INFORMATION, FileNameLength);
    switch (Class) {
    case FileDirectoryInformation:
        *Layout = (LAYOUT){FIELD_OFFSET(FILE_DIRECTORY_INFORMATION, FileName), LengthOffset, TRUE, FALSE};
        return TRUE;
    case FileFullDirectoryInformation:
        *Layout = (LAYOUT){FIELD_OFFSET(FILE_FULL_DIR_INFORMATION, FileName), LengthOffset, TRUE, FALSE};
        return TRUE;
    case FileBothDirectoryInformation:
        *Layout = (LAYOUT){FIELD_OFFSET(FILE_BOTH_DIR_INFORMATION, FileName), LengthOffset, TRUE, TRUE};
        return TRUE;
    case FileNamesInformation:
        *Layout = (LAYOUT){FIELD_OFFSET(FILE_NAMES_INFORMATION, FileName),
                           FIELD_OFFSET(FILE_NAMES_INFORMATION, FileNameLength), FALSE, FALSE};
        return TRUE;
    default:
        return FALSE;
    }
}

/* The entry of a file with a page may lag behind its length. */
PAGEABLE static ULONG SizeOf(PVCB Vcb, const FAT_FOUND *Found) {
    for (PLIST_ENTRY Entry = Vcb->Pages.Flink; Entry != &Vcb->Pages; Entry = Entry->Flink) {
        PFCB Fcb = CONTAINING_RECORD(Entry, FCB, Page.ListEntry);
        if (Fcb->Node.Disk == Found->Disk) {
            return FatSizeOf(Fcb);
        }
    }
    return Found->Entry.Size;
}

PAGEABLE static VOID FillSizes(PVCB Vcb, PFILE_DIRECTORY_INFORMATION Info, const FAT_FOUND *Found) {
    const FAT_ENTRY *Entry = &Found->Entry;
    ULONG64 Mask = Vcb->Volume->ClusterBytes - 1;
    Info->CreationTime.QuadPart = FatDecodeTime(Entry->CreateDate, Entry->CreateTime, Entry->CreateTenths);
    Info->LastAccessTime.QuadPart = FatDecodeTime(Entry->AccessDate, 0, 0);
    Info->LastWriteTime.QuadPart = FatDecodeTime(Entry->WriteDate, Entry->WriteTime, 0);
    Info->ChangeTime = Info->LastWriteTime;
    Info->EndOfFile.QuadPart = Entry->Attributes & FAT_ATTRIBUTE_DIRECTORY ? 0 : SizeOf(Vcb, Found);
    Info->AllocationSize.QuadPart = (LONGLONG)(((ULONG64)Info->EndOfFile.QuadPart + Mask) & ~Mask);
    Info->FileAttributes = FatNtAttributes(Entry);
}

/* One entry at Target, with Room bytes left. Returns the bytes it takes; the name is cut where the room ends. */
PAGEABLE static ULONG FillEntry(PVCB Vcb, const LAYOUT *Layout, const FAT_FOUND *Found, PUCHAR Target, ULONG Room) {
    ULONG Bytes = Found->NameLength * sizeof(WCHAR), NameRoom = (Room - Layout->NameOffset) & ~1u;
    RtlZeroMemory(Target, Layout->NameOffset);
    if (Layout->HasSizes) {
        FillSizes(Vcb, (PFILE_DIRECTORY_INFORMATION)Target, Found);
    }
    if (Layout->HasShortName && Found->Parts != 0) {
        PFILE_BOTH_DIR_INFORMATION Both = (PFILE_BOTH_DIR_INFORMATION)Target;
        WCHAR Short[13];
        ULONG Length = FatShortToText(&Found->Entry, Short);
        Both->ShortNameLength = (CCHAR)(Length * sizeof(WCHAR));
        RtlCopyMemory(Both->ShortName, Short, Length * sizeof(WCHAR));
    }
    *(PULONG)(Target + Layout->LengthOffset) = Bytes;
    Bytes = Bytes < NameRoom ? Bytes : NameRoom;
    RtlCopyMemory(Target + Layout->NameOffset, Found->Name, Bytes);
    return Layout->NameOffset + Bytes;
}

/* The next file that the pattern allows. Its place is remembered only when the caller has used it: see Before. */
PAGEABLE static NTSTATUS NextMatch(PCCB Ccb, PFAT_FOUND Found, PFAT_SCAN Before) {
    for (;;) {
        *Before = Ccb->Scan;
        Before->Cursor.IsPinned = FALSE;
        NTSTATUS Status = FatNextFile(&Ccb->Scan, Found);
        if (!NT_SUCCESS(Status) ||
            FatMatches(Ccb->Pattern.Buffer, Ccb->Pattern.Length / sizeof(WCHAR), Found->Name, Found->NameLength)) {
            return Status;
        }
    }
}

/* Fills the buffer. STATUS_SUCCESS with *Used 0: there was none. */
PAGEABLE static NTSTATUS FillBuffer(PVCB Vcb, PCCB Ccb, const LAYOUT *Layout, PUCHAR Buffer, ULONG Length,
                                    BOOLEAN IsSingle, PFAT_FOUND Found, PULONG_PTR Used) {
    ULONG At = 0, Last = 0;
    FAT_SCAN Before;
    NTSTATUS Status;
    while (NT_SUCCESS(Status = NextMatch(Ccb, Found, &Before))) {
        ULONG Needed = Layout->NameOffset + Found->NameLength * sizeof(WCHAR);
        if (At + Needed > Length && *Used != 0) { /* the next call begins with it */
            FatEndScan(&Ccb->Scan);
            Ccb->Scan = Before;
            return STATUS_SUCCESS;
        }
        if (*Used != 0) {
            *(PULONG)(Buffer + Last) = At - Last; /* NextEntryOffset, the first field of each class */
        }
        ULONG Bytes = FillEntry(Vcb, Layout, Found, Buffer + At, Length - At);
        *Used = At + Bytes;
        if (Bytes < Needed) {
            return STATUS_BUFFER_OVERFLOW;
        }
        Last = At;
        At = (At + Bytes + 7) & ~7u;
        if (IsSingle || At + Layout->NameOffset > Length) {
            return STATUS_SUCCESS;
        }
    }
    return Status == STATUS_NO_MORE_FILES ? STATUS_SUCCESS : Status;
}

/* The pattern counts from the first call on, or until a scan begins anew with another one. */
PAGEABLE static NTSTATUS SetPattern(PCCB Ccb, PCUNICODE_STRING Name) {
    static const WCHAR All[] = L"*";
    USHORT Bytes = Name && Name->Length != 0 ? Name->Length : sizeof(WCHAR);
    PWCHAR Buffer = ExAllocatePoolWithTag(PagedPool, Bytes, TAG_FAT);
    if (Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlCopyMemory(Buffer, Name && Name->Length != 0 ? Name->Buffer : All, Bytes);
    if (Ccb->Pattern.Buffer) {
        ExFreePoolWithTag(Ccb->Pattern.Buffer, TAG_FAT);
    }
    Ccb->Pattern.Buffer = Buffer;
    Ccb->Pattern.Length = Ccb->Pattern.MaximumLength = Bytes;
    return STATUS_SUCCESS;
}

PAGEABLE static NTSTATUS PrepareScan(PVCB Vcb, PFCB Fcb, PCCB Ccb, PCUNICODE_STRING Name, BOOLEAN Restarts) {
    NTSTATUS Status = STATUS_SUCCESS;
    if (Ccb->Pattern.Buffer == NULL || (Restarts && Name && Name->Length != 0)) {
        Status = SetPattern(Ccb, Name);
    }
    if (NT_SUCCESS(Status) && (Restarts || !Ccb->HasScan)) {
        Status = FatBeginScan(&Ccb->Scan, Vcb->Volume, FatFirstCluster(Vcb, Fcb));
    }
    return Status;
}

PAGEABLE static NTSTATUS QueryDirectory(PVCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack, PFAT_FOUND Found) {
    PFCB Fcb = Stack->FileObject->FsContext;
    PCCB Ccb = Stack->FileObject->FsContext2;
    ULONG Length = Stack->Parameters.QueryDirectory.Length;
    PUCHAR Buffer =
        Irp->MdlAddress ? MmGetSystemAddressForMdlSafe(Irp->MdlAddress, NormalPagePriority) : Irp->UserBuffer;
    LAYOUT Layout;
    if (!GetLayout(Stack->Parameters.QueryDirectory.FileInformationClass, &Layout)) {
        return STATUS_INVALID_INFO_CLASS;
    }
    if (Length < Layout.NameOffset + sizeof(WCHAR)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    BOOLEAN IsFirst = !Ccb->HasScan;
    NTSTATUS Status =
        PrepareScan(Vcb, Fcb, Ccb, Stack->Parameters.QueryDirectory.FileName, (Stack->Flags & SL_RESTART_SCAN) != 0);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Ccb->HasScan = TRUE;
    Status = FillBuffer(Vcb, Ccb, &Layout, Buffer, Length, (Stack->Flags & SL_RETURN_SINGLE_ENTRY) != 0, Found,
                        &Irp->IoStatus.Information);
    FatEndScan(&Ccb->Scan);
    if (NT_SUCCESS(Status) && Irp->IoStatus.Information == 0) {
        return IsFirst ? STATUS_NO_SUCH_FILE : STATUS_NO_MORE_FILES;
    }
    return Status;
}

PAGEABLE NTSTATUS FatCommonDirectory(PVCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack) {
    PFCB Fcb = Stack->FileObject->FsContext;
    if (Stack->MinorFunction != IRP_MN_QUERY_DIRECTORY) {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    if (Fcb == NULL || Fcb->IsVolume || !FatIsDirectory(Fcb)) {
        return STATUS_INVALID_PARAMETER;
    }
    PFAT_FOUND Found = ExAllocatePoolWithTag(PagedPool, sizeof(FAT_FOUND), TAG_FAT);
    if (Found == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    NTSTATUS Status = QueryDirectory(Vcb, Irp, Stack, Found);
    ExFreePoolWithTag(Found, TAG_FAT);
    return Status;
}

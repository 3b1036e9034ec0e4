/* query.c: queries about a file and about the volume. */
#include "fastfat.h"

PAGEABLE static ULONG64 AllocationOf(PVCB Vcb, const FCB *Fcb) {
    ULONG64 Mask = Vcb->Volume->ClusterBytes - 1;
    return FatIsDirectory(Fcb) ? 0 : (FatSizeOf(Fcb) + Mask) & ~Mask;
}

PAGEABLE static VOID FillBasic(const FCB *Fcb, PFILE_BASIC_INFORMATION Info) {
    const FAT_ENTRY *Entry = &Fcb->Node.Entry;
    Info->CreationTime.QuadPart = FatDecodeTime(Entry->CreateDate, Entry->CreateTime, Entry->CreateTenths);
    Info->LastAccessTime.QuadPart = FatDecodeTime(Entry->AccessDate, 0, 0);
    Info->LastWriteTime.QuadPart = FatDecodeTime(Entry->WriteDate, Entry->WriteTime, 0);
    Info->ChangeTime = Info->LastWriteTime;
    Info->FileAttributes = FatNtAttributes(Entry);
}

PAGEABLE static VOID FillStandard(PVCB Vcb, const FCB *Fcb, PFILE_STANDARD_INFORMATION Info) {
    Info->AllocationSize.QuadPart = (LONGLONG)AllocationOf(Vcb, Fcb);
    Info->EndOfFile.QuadPart = FatIsDirectory(Fcb) ? 0 : FatSizeOf(Fcb);
    Info->NumberOfLinks = Fcb->IsDeletePending || Fcb->IsDeleted ? 0 : 1;
    Info->DeletePending = Fcb->IsDeletePending || Fcb->IsDeleted;
    Info->Directory = FatIsDirectory(Fcb);
}

/* As much as fits, at the end of a buffer of Length bytes; STATUS_BUFFER_OVERFLOW when that is not all. */
PAGEABLE static NTSTATUS FillName(const FCB *Fcb, PFILE_NAME_INFORMATION Info, ULONG Length, PULONG_PTR Used) {
    ULONG Room = Length - FIELD_OFFSET(FILE_NAME_INFORMATION, FileName), Bytes = Fcb->Path.Length;
    Info->FileNameLength = Bytes;
    Bytes = Bytes < Room ? Bytes : Room & ~1u;
    RtlCopyMemory(Info->FileName, Fcb->Path.Buffer, Bytes);
    *Used += FIELD_OFFSET(FILE_NAME_INFORMATION, FileName) + Bytes;
    return Bytes == Fcb->Path.Length ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;
}

PAGEABLE static NTSTATUS FillAll(PVCB Vcb, PFILE_OBJECT File, PFILE_ALL_INFORMATION Info, ULONG Length,
                                 PULONG_PTR Used) {
    const FCB *Fcb = File->FsContext;
    FillBasic(Fcb, &Info->BasicInformation);
    FillStandard(Vcb, Fcb, &Info->StandardInformation);
    Info->InternalInformation.IndexNumber.QuadPart = (LONGLONG)Fcb->Node.Disk;
    Info->EaInformation.EaSize = 0;
    Info->PositionInformation.CurrentByteOffset = File->CurrentByteOffset;
    *Used = FIELD_OFFSET(FILE_ALL_INFORMATION, NameInformation);
    return FillName(Fcb, &Info->NameInformation, Length - (ULONG)*Used, Used);
}

PAGEABLE static VOID FillNetworkOpen(PVCB Vcb, const FCB *Fcb, PFILE_NETWORK_OPEN_INFORMATION Info) {
    FILE_BASIC_INFORMATION Basic;
    FILE_STANDARD_INFORMATION Standard;
    FillBasic(Fcb, &Basic);
    FillStandard(Vcb, Fcb, &Standard);
    Info->CreationTime = Basic.CreationTime;
    Info->LastAccessTime = Basic.LastAccessTime;
    Info->LastWriteTime = Basic.LastWriteTime;
    Info->ChangeTime = Basic.ChangeTime;
    Info->AllocationSize = Standard.AllocationSize;
    Info->EndOfFile = Standard.EndOfFile;
    Info->FileAttributes = Basic.FileAttributes;
}

/* The least that a class needs; 0: not a class of ours. */
PAGEABLE static ULONG LeastLength(FILE_INFORMATION_CLASS Class) {
    switch (Class) {
    case FileBasicInformation:
        return sizeof(FILE_BASIC_INFORMATION);
    case FileStandardInformation:
        return sizeof(FILE_STANDARD_INFORMATION);
    case FileInternalInformation:
        return sizeof(FILE_INTERNAL_INFORMATION);
    case FileEaInformation:
        return sizeof(FILE_EA_INFORMATION);
    case FileNameInformation:
        return sizeof(FILE_NAME_INFORMATION);
    case FilePositionInformation:
        return sizeof(FILE_POSITION_INFORMATION);
    case FileAllInformation:
        return sizeof(FILE_ALL_INFORMATION);
    case FileNetworkOpenInformation:
        return sizeof(FILE_NETWORK_OPEN_INFORMATION);
    case FileAttributeTagInformation:
        return sizeof(FILE_ATTRIBUTE_TAG_INFORMATION);
    default:
        return 0;
    }
}

PAGEABLE NTSTATUS FatCommonQuery(PVCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack) {
    PFILE_OBJECT File = Stack->FileObject;
    PFCB Fcb = File->FsContext;
    PVOID Buffer = Irp->AssociatedIrp.SystemBuffer;
    FILE_INFORMATION_CLASS Class = Stack->Parameters.QueryFile.FileInformationClass;
    ULONG Length = Stack->Parameters.QueryFile.Length, Least = LeastLength(Class);
    PULONG_PTR Used = &Irp->IoStatus.Information;
    if (Fcb == NULL || Least == 0 || (Fcb->IsVolume && Class != FilePositionInformation)) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Length < Least) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    *Used = Least;
    switch (Class) {
    case FileBasicInformation:
        RtlZeroMemory(Buffer, Least);
        FillBasic(Fcb, Buffer);
        return STATUS_SUCCESS;
    case FileStandardInformation:
        FillStandard(Vcb, Fcb, Buffer);
        return STATUS_SUCCESS;
    case FileInternalInformation:
        ((PFILE_INTERNAL_INFORMATION)Buffer)->IndexNumber.QuadPart = (LONGLONG)Fcb->Node.Disk;
        return STATUS_SUCCESS;
    case FileEaInformation:
        ((PFILE_EA_INFORMATION)Buffer)->EaSize = 0;
        return STATUS_SUCCESS;
    case FilePositionInformation:
        ((PFILE_POSITION_INFORMATION)Buffer)->CurrentByteOffset = File->CurrentByteOffset;
        return STATUS_SUCCESS;
    case FileNetworkOpenInformation:
        RtlZeroMemory(Buffer, Least);
        FillNetworkOpen(Vcb, Fcb, Buffer);
        return STATUS_SUCCESS;
    case FileAttributeTagInformation:
        *(PFILE_ATTRIBUTE_TAG_INFORMATION)Buffer =
            (FILE_ATTRIBUTE_TAG_INFORMATION){FatNtAttributes(&Fcb->Node.Entry), 0};
        return STATUS_SUCCESS;
    case FileNameInformation:
        *Used = 0;
        return FillName(Fcb, Buffer, Length, Used);
    default:
        return FillAll(Vcb, File, Buffer, Length, Used);
    }
}

/* ---- The volume ---- */

PAGEABLE static NTSTATUS FillVolume(PVCB Vcb, PFILE_FS_VOLUME_INFORMATION Info, ULONG Length, PULONG_PTR Used) {
    ULONG Room = (Length - FIELD_OFFSET(FILE_FS_VOLUME_INFORMATION, VolumeLabel)) / sizeof(WCHAR), Count = 11;
    while (Count != 0 && Vcb->Volume->Label[Count - 1] == ' ') {
        Count--;
    }
    RtlZeroMemory(Info, FIELD_OFFSET(FILE_FS_VOLUME_INFORMATION, VolumeLabel));
    Info->VolumeSerialNumber = Vcb->Volume->SerialNumber;
    Info->VolumeLabelLength = Count * sizeof(WCHAR);
    ULONG Copied = Count < Room ? Count : Room;
    for (ULONG i = 0; i < Copied; i++) {
        Info->VolumeLabel[i] = Vcb->Volume->Label[i];
    }
    *Used = FIELD_OFFSET(FILE_FS_VOLUME_INFORMATION, VolumeLabel) + Copied * sizeof(WCHAR);
    return Copied == Count ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;
}

PAGEABLE static NTSTATUS FillSize(PVCB Vcb, PVOID Buffer, BOOLEAN IsFull, PULONG_PTR Used) {
    PFILE_FS_SIZE_INFORMATION Size = Buffer;
    PFILE_FS_FULL_SIZE_INFORMATION Full = Buffer;
    ULONG Free;
    NTSTATUS Status = FatCountFree(Vcb->Volume, &Free);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Size->TotalAllocationUnits.QuadPart = Vcb->Volume->ClusterCount;
    Size->AvailableAllocationUnits.QuadPart = Free;
    PULONG Units = &Size->SectorsPerAllocationUnit;
    if (IsFull) {
        Full->ActualAvailableAllocationUnits.QuadPart = Free;
        Units = &Full->SectorsPerAllocationUnit;
    }
    Units[0] = Vcb->Volume->ClusterBytes / Vcb->Volume->SectorBytes;
    Units[1] = Vcb->Volume->SectorBytes;
    *Used = IsFull ? sizeof(*Full) : sizeof(*Size);
    return STATUS_SUCCESS;
}

PAGEABLE static NTSTATUS FillAttributes(PFILE_FS_ATTRIBUTE_INFORMATION Info, ULONG Length, PULONG_PTR Used) {
    static const WCHAR Name[] = L"FAT";
    ULONG Offset = FIELD_OFFSET(FILE_FS_ATTRIBUTE_INFORMATION, FileSystemName), Bytes = sizeof(Name) - sizeof(WCHAR);
    ULONG Copied = Bytes < Length - Offset ? Bytes : (Length - Offset) & ~1u;
    Info->FileSystemAttributes = 6; /* keeps the case of names, which may be Unicode */
    Info->MaximumComponentNameLength = FAT_MAXIMUM_NAME;
    Info->FileSystemNameLength = Bytes;
    RtlCopyMemory(Info->FileSystemName, Name, Copied);
    *Used = Offset + Copied;
    return Copied == Bytes ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;
}

PAGEABLE static ULONG LeastVolumeLength(FS_INFORMATION_CLASS Class) {
    switch (Class) {
    case FileFsVolumeInformation:
        return sizeof(FILE_FS_VOLUME_INFORMATION);
    case FileFsSizeInformation:
        return sizeof(FILE_FS_SIZE_INFORMATION);
    case FileFsFullSizeInformation:
        return sizeof(FILE_FS_FULL_SIZE_INFORMATION);
    case FileFsDeviceInformation:
        return sizeof(FILE_FS_DEVICE_INFORMATION);
    case FileFsAttributeInformation:
        return sizeof(FILE_FS_ATTRIBUTE_INFORMATION);
    default:
        return 0;
    }
}

PAGEABLE NTSTATUS FatCommonQueryVolume(PVCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack) {
    PVOID Buffer = Irp->AssociatedIrp.SystemBuffer;
    FS_INFORMATION_CLASS Class = Stack->Parameters.QueryVolume.FsInformationClass;
    ULONG Length = Stack->Parameters.QueryVolume.Length, Least = LeastVolumeLength(Class);
    PULONG_PTR Used = &Irp->IoStatus.Information;
    if (Least == 0) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Length < Least) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    switch (Class) {
    case FileFsVolumeInformation:
        return FillVolume(Vcb, Buffer, Length, Used);
    case FileFsDeviceInformation:
        *(PFILE_FS_DEVICE_INFORMATION)Buffer = (FILE_FS_DEVICE_INFORMATION){FILE_DEVICE_DISK, 0};
        *Used = Least;
        return STATUS_SUCCESS;
    case FileFsAttributeInformation:
        return FillAttributes(Buffer, Length, Used);
    default:
        return FillSize(Vcb, Buffer, Class == FileFsFullSizeInformation, Used);
    }
}

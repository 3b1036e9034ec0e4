/* dirquery.c: ZwQueryDirectoryFile and ZwQueryVolumeInformationFile: a directory's contents, its volume. */
#include "iop.h"

/* The bytes of one entry without its name; 0: no class for directories. */
static ULONG EntryLength(FILE_INFORMATION_CLASS Class) {
    switch (Class) {
    case FileDirectoryInformation:
        return sizeof(FILE_DIRECTORY_INFORMATION);
    case FileFullDirectoryInformation:
        return sizeof(FILE_FULL_DIR_INFORMATION);
    case FileBothDirectoryInformation:
        return sizeof(FILE_BOTH_DIR_INFORMATION);
    case FileNamesInformation:
        return sizeof(FILE_NAMES_INFORMATION);
    default:
        return 0;
    }
}

/* The pattern in nonpaged memory behind its UNICODE_STRING. NULL with success: there is none. */
static NTSTATUS CapturePattern(PUNICODE_STRING FileName, PUNICODE_STRING *Pattern) {
    *Pattern = NULL;
    if (FileName == NULL || FileName->Length == 0) {
        return STATUS_SUCCESS;
    }
    PUNICODE_STRING Copy = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Copy) + FileName->Length, TAG_FILE);
    if (Copy == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    *Copy = (UNICODE_STRING){FileName->Length, FileName->Length, (PWCH)(Copy + 1)};
    memcpy(Copy->Buffer, FileName->Buffer, FileName->Length);
    *Pattern = Copy;
    return STATUS_SUCCESS;
}

typedef struct _DIRECTORY_QUERY_PARAMETERS {
    PVOID Buffer;
    ULONG Length;
    FILE_INFORMATION_CLASS Class;
    UCHAR Flags;
    PUNICODE_STRING FileName;
} QUERY;

/* The file system reads the pattern before it completes the request or marks it pending, so the pattern may go after
 * that; the call waits here even for a file that is not synchronous. */
static NTSTATUS SendDirectoryQuery(PIOP_CALL Call, const QUERY *Query, PIO_STATUS_BLOCK IoStatusBlock) {
    PUNICODE_STRING Pattern;
    NTSTATUS Status = CapturePattern(Query->FileName, &Pattern);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    PIRP Irp = IopAllocateFileIrp(Call->File, Call->Device, IRP_MJ_DIRECTORY_CONTROL);
    Status = Irp == NULL ? STATUS_INSUFFICIENT_RESOURCES
                         : IopAttachTransferBuffer(Irp, Call->Device, Query->Buffer, Query->Length, FALSE);
    if (NT_SUCCESS(Status)) {
        PIO_STACK_LOCATION Stack = IoGetNextIrpStackLocation(Irp);
        Stack->MinorFunction = IRP_MN_QUERY_DIRECTORY;
        Stack->Flags = Query->Flags;
        Stack->Parameters.QueryDirectory.Length = Query->Length;
        Stack->Parameters.QueryDirectory.FileName = Pattern;
        Stack->Parameters.QueryDirectory.FileInformationClass = Query->Class;
        Status = IopPerformAndWait(Call, Irp, IoStatusBlock);
    } else if (Irp != NULL) {
        IopDropIrp(Irp);
    }
    if (Pattern != NULL) {
        ExFreePoolWithTag(Pattern, TAG_FILE);
    }
    return Status;
}

/* PASSIVE_LEVEL. STATUS_NO_MORE_FILES, STATUS_NO_SUCH_FILE, STATUS_INVALID_INFO_CLASS, STATUS_INFO_LENGTH_MISMATCH.
 * ntifs.h: ZwQueryDirectoryFile. */
NTSTATUS ZwQueryDirectoryFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                              PIO_STATUS_BLOCK IoStatusBlock, PVOID FileInformation, ULONG Length,
                              FILE_INFORMATION_CLASS FileInformationClass, BOOLEAN ReturnSingleEntry,
                              PUNICODE_STRING FileName, BOOLEAN RestartScan) {
    IOP_CALL Call;
    QUERY Query = {FileInformation, Length, FileInformationClass, 0, FileName};
    Query.Flags = (UCHAR)((RestartScan ? SL_RESTART_SCAN : 0) | (ReturnSingleEntry ? SL_RETURN_SINGLE_ENTRY : 0));
    UNREFERENCED_PARAMETER(ApcRoutine); /* the call has waited when it returns */
    UNREFERENCED_PARAMETER(ApcContext);
    if (EntryLength(FileInformationClass) == 0) {
        return STATUS_INVALID_INFO_CLASS;
    }
    if (Length < EntryLength(FileInformationClass)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    NTSTATUS Status = IopBeginCall(FileHandle, FILE_LIST_DIRECTORY, Event, &Call);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = SendDirectoryQuery(&Call, &Query, IoStatusBlock);
    if (Call.Event != NULL) {
        KeSetEvent(Call.Event, IO_NO_INCREMENT, FALSE);
    }
    IopEndCall(&Call);
    return Status;
}

static ULONG VolumeLength(FS_INFORMATION_CLASS Class) {
    switch (Class) {
    case FileFsVolumeInformation:
        return sizeof(FILE_FS_VOLUME_INFORMATION);
    case FileFsSizeInformation:
        return sizeof(FILE_FS_SIZE_INFORMATION);
    case FileFsDeviceInformation:
        return sizeof(FILE_FS_DEVICE_INFORMATION);
    case FileFsAttributeInformation:
        return sizeof(FILE_FS_ATTRIBUTE_INFORMATION);
    case FileFsFullSizeInformation:
        return sizeof(FILE_FS_FULL_SIZE_INFORMATION);
    default:
        return 0;
    }
}

static NTSTATUS SendVolumeQuery(PIOP_CALL Call, PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length,
                                FS_INFORMATION_CLASS Class) {
    PIRP Irp = IopAllocateFileIrp(Call->File, Call->Device, IRP_MJ_QUERY_VOLUME_INFORMATION);
    NTSTATUS Status = Irp == NULL ? STATUS_INSUFFICIENT_RESOURCES : IopAttachSystemBuffer(Irp, NULL, 0, Buffer, Length);
    if (!NT_SUCCESS(Status)) {
        if (Irp != NULL) {
            IopDropIrp(Irp);
        }
        return Status;
    }
    PIO_STACK_LOCATION Stack = IoGetNextIrpStackLocation(Irp);
    Stack->Parameters.QueryVolume.Length = Length;
    Stack->Parameters.QueryVolume.FsInformationClass = Class;
    return IopPerformAndWait(Call, Irp, IoStatusBlock);
}

/* PASSIVE_LEVEL. FileFsDeviceInformation is what the device object says. ntifs.h: ZwQueryVolumeInformationFile. */
NTSTATUS ZwQueryVolumeInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID FsInformation,
                                      ULONG Length, FS_INFORMATION_CLASS FsInformationClass) {
    IOP_CALL Call;
    ULONG Needed = VolumeLength(FsInformationClass);
    if (Needed == 0) {
        return STATUS_INVALID_INFO_CLASS;
    }
    if (Length < Needed) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    NTSTATUS Status = IopBeginCall(FileHandle, 0, NULL, &Call);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (FsInformationClass == FileFsDeviceInformation) {
        PFILE_FS_DEVICE_INFORMATION Device = FsInformation;
        Device->DeviceType = Call.File->DeviceObject->DeviceType;
        Device->Characteristics = Call.File->DeviceObject->Characteristics;
        *IoStatusBlock = (IO_STATUS_BLOCK){.Status = STATUS_SUCCESS, .Information = sizeof(*Device)};
    } else {
        Status = SendVolumeQuery(&Call, IoStatusBlock, FsInformation, Length, FsInformationClass);
    }
    IopEndCall(&Call);
    return Status;
}

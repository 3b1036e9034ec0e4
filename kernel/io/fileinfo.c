/* fileinfo.c: ZwQueryInformationFile and ZwSetInformationFile, by a table of classes.
 *
 * The table says for each class how long its structure is and what access the handle needs. A few classes concern the
 * open alone and never reach the driver. */
#include "iop.h"

#define NOT_SUPPORTED 0xFFFF
#define NO_ACCESS 0

typedef struct _CLASS_RULE {
    USHORT QueryLength, SetLength; /* at least; NOT_SUPPORTED: STATUS_INVALID_INFO_CLASS */
    ACCESS_MASK QueryAccess, SetAccess;
} CLASS_RULE;

#define RULE(Query, QueryRight, Set, SetRight) {Query, Set, QueryRight, SetRight}
#define QUERY_ONLY(Type, Right) {sizeof(Type), NOT_SUPPORTED, Right, 0}
#define SET_ONLY(Type, Right) {NOT_SUPPORTED, sizeof(Type), 0, Right}

/* A class without a row has all zero, which no class that exists has. */
static const CLASS_RULE Rules[FileMaximumInformation] = {
    [FileBasicInformation] = RULE(sizeof(FILE_BASIC_INFORMATION), FILE_READ_ATTRIBUTES, sizeof(FILE_BASIC_INFORMATION),
                                  FILE_WRITE_ATTRIBUTES),
    [FileStandardInformation] = QUERY_ONLY(FILE_STANDARD_INFORMATION, NO_ACCESS),
    [FileInternalInformation] = QUERY_ONLY(FILE_INTERNAL_INFORMATION, NO_ACCESS),
    [FileEaInformation] = QUERY_ONLY(FILE_EA_INFORMATION, NO_ACCESS),
    [FileAccessInformation] = QUERY_ONLY(FILE_ACCESS_INFORMATION, NO_ACCESS),
    [FileNameInformation] = QUERY_ONLY(FILE_NAME_INFORMATION, NO_ACCESS),
    [FileRenameInformation] = SET_ONLY(FILE_RENAME_INFORMATION, DELETE),
    [FileDispositionInformation] = SET_ONLY(FILE_DISPOSITION_INFORMATION, DELETE),
    [FilePositionInformation] =
        RULE(sizeof(FILE_POSITION_INFORMATION), NO_ACCESS, sizeof(FILE_POSITION_INFORMATION), NO_ACCESS),
    [FileModeInformation] = RULE(sizeof(FILE_MODE_INFORMATION), NO_ACCESS, sizeof(FILE_MODE_INFORMATION), NO_ACCESS),
    [FileAlignmentInformation] = QUERY_ONLY(FILE_ALIGNMENT_INFORMATION, NO_ACCESS),
    [FileAllInformation] = QUERY_ONLY(FILE_ALL_INFORMATION, FILE_READ_ATTRIBUTES),
    [FileAllocationInformation] = SET_ONLY(FILE_ALLOCATION_INFORMATION, FILE_WRITE_DATA),
    [FileEndOfFileInformation] = SET_ONLY(FILE_END_OF_FILE_INFORMATION, FILE_WRITE_DATA),
    [FileAlternateNameInformation] = QUERY_ONLY(FILE_NAME_INFORMATION, NO_ACCESS),
    [FileNetworkOpenInformation] = QUERY_ONLY(FILE_NETWORK_OPEN_INFORMATION, FILE_READ_ATTRIBUTES),
    [FileAttributeTagInformation] = QUERY_ONLY(FILE_ATTRIBUTE_TAG_INFORMATION, FILE_READ_ATTRIBUTES),
    [FileValidDataLengthInformation] = SET_ONLY(LARGE_INTEGER, FILE_WRITE_DATA),
    [FileRenameInformationEx] = SET_ONLY(FILE_RENAME_INFORMATION, DELETE),
    [FileDispositionInformationEx] = SET_ONLY(ULONG, DELETE),
};

/* STATUS_INVALID_INFO_CLASS, STATUS_INFO_LENGTH_MISMATCH. *Access: the rights of which the handle needs one. */
static NTSTATUS CheckClass(FILE_INFORMATION_CLASS Class, ULONG Length, BOOLEAN IsSet, ACCESS_MASK *Access) {
    if ((ULONG)Class >= FileMaximumInformation) {
        return STATUS_INVALID_INFO_CLASS;
    }
    const CLASS_RULE *Rule = &Rules[Class];
    ULONG Needed = IsSet ? Rule->SetLength : Rule->QueryLength;
    if (Needed == 0 || Needed == NOT_SUPPORTED) {
        return STATUS_INVALID_INFO_CLASS;
    }
    *Access = IsSet ? Rule->SetAccess : Rule->QueryAccess;
    return Length < Needed ? STATUS_INFO_LENGTH_MISMATCH : STATUS_SUCCESS;
}

static ULONG ModeOf(const FILE_OBJECT *File) {
    ULONG Flags = File->Flags, Mode = 0;
    Mode |= Flags & FO_WRITE_THROUGH ? FILE_WRITE_THROUGH : 0;
    Mode |= Flags & FO_SEQUENTIAL_ONLY ? FILE_SEQUENTIAL_ONLY : 0;
    Mode |= Flags & FO_NO_INTERMEDIATE_BUFFERING ? FILE_NO_INTERMEDIATE_BUFFERING : 0;
    if (Flags & FO_SYNCHRONOUS_IO) {
        Mode |= Flags & FO_ALERTABLE_IO ? FILE_SYNCHRONOUS_IO_ALERT : FILE_SYNCHRONOUS_IO_NONALERT;
    }
    return Mode;
}

/* ---- Query ---- */

/* Answers that the open itself knows. FALSE: the driver must be asked. */
static BOOLEAN AnswerQuery(const IOP_CALL *Call, FILE_INFORMATION_CLASS Class, PVOID Buffer, ULONG_PTR *Bytes) {
    switch (Class) {
    case FileAccessInformation:
        ((PFILE_ACCESS_INFORMATION)Buffer)->AccessFlags = Call->Granted;
        *Bytes = sizeof(FILE_ACCESS_INFORMATION);
        return TRUE;
    case FileModeInformation:
        ((PFILE_MODE_INFORMATION)Buffer)->Mode = ModeOf(Call->File);
        *Bytes = sizeof(FILE_MODE_INFORMATION);
        return TRUE;
    case FileAlignmentInformation:
        ((PFILE_ALIGNMENT_INFORMATION)Buffer)->AlignmentRequirement = Call->Device->AlignmentRequirement;
        *Bytes = sizeof(FILE_ALIGNMENT_INFORMATION);
        return TRUE;
    case FilePositionInformation:
        if (Call->File->Flags & FO_SYNCHRONOUS_IO) {
            ((PFILE_POSITION_INFORMATION)Buffer)->CurrentByteOffset = Call->File->CurrentByteOffset;
            *Bytes = sizeof(FILE_POSITION_INFORMATION);
            return TRUE;
        }
        return FALSE;
    default:
        return FALSE;
    }
}

/* The parts of FileAllInformation that the driver cannot know; it fills in the others. */
static VOID PrepareAll(const IOP_CALL *Call, PFILE_ALL_INFORMATION All) {
    All->AccessInformation.AccessFlags = Call->Granted;
    All->ModeInformation.Mode = ModeOf(Call->File);
    All->AlignmentInformation.AlignmentRequirement = Call->Device->AlignmentRequirement;
}

static NTSTATUS SendQuery(PIOP_CALL Call, PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length,
                          FILE_INFORMATION_CLASS Class) {
    PIRP Irp = IopAllocateFileIrp(Call->File, Call->Device, IRP_MJ_QUERY_INFORMATION);
    if (Irp == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    NTSTATUS Status = IopAttachSystemBuffer(Irp, NULL, 0, Buffer, Length);
    if (!NT_SUCCESS(Status)) {
        IopDropIrp(Irp);
        return Status;
    }
    PIO_STACK_LOCATION Stack = IoGetNextIrpStackLocation(Irp);
    Stack->Parameters.QueryFile.Length = Length;
    Stack->Parameters.QueryFile.FileInformationClass = Class;
    if (Class == FileAllInformation) {
        PrepareAll(Call, Irp->AssociatedIrp.SystemBuffer);
    }
    return IopPerformAndWait(Call, Irp, IoStatusBlock);
}

/* PASSIVE_LEVEL by its documentation. STATUS_INVALID_INFO_CLASS, STATUS_INFO_LENGTH_MISMATCH, STATUS_ACCESS_DENIED, and
 * the file system's. wdm.h: ZwQueryInformationFile. */
NTSTATUS ZwQueryInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID FileInformation, ULONG Length,
                                FILE_INFORMATION_CLASS FileInformationClass) {
    IOP_CALL Call;
    ACCESS_MASK Access;
    NTSTATUS Status = CheckClass(FileInformationClass, Length, FALSE, &Access);
    if (NT_SUCCESS(Status)) {
        Status = IopBeginCall(FileHandle, Access, NULL, &Call);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ULONG_PTR Bytes;
    if (AnswerQuery(&Call, FileInformationClass, FileInformation, &Bytes)) {
        *IoStatusBlock = (IO_STATUS_BLOCK){.Status = STATUS_SUCCESS, .Information = Bytes};
    } else {
        Status = SendQuery(&Call, IoStatusBlock, FileInformation, Length, FileInformationClass);
    }
    IopEndCall(&Call);
    return Status;
}

/* ---- Set ---- */

#define SETTABLE_MODE \
    (FILE_WRITE_THROUGH | FILE_SEQUENTIAL_ONLY | FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT)

static NTSTATUS SetMode(PFILE_OBJECT File, ULONG Mode) {
    ULONG Synchronous = FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT;
    BOOLEAN IsSynchronous = (File->Flags & FO_SYNCHRONOUS_IO) != 0;
    if ((Mode & ~SETTABLE_MODE) || (Mode & Synchronous) == Synchronous ||
        ((Mode & Synchronous) != 0) != IsSynchronous) {
        return STATUS_INVALID_PARAMETER;
    }
    ULONG Flags = File->Flags & ~(FO_WRITE_THROUGH | FO_SEQUENTIAL_ONLY | FO_ALERTABLE_IO);
    Flags |= Mode & FILE_WRITE_THROUGH ? FO_WRITE_THROUGH : 0;
    Flags |= Mode & FILE_SEQUENTIAL_ONLY ? FO_SEQUENTIAL_ONLY : 0;
    Flags |= Mode & FILE_SYNCHRONOUS_IO_ALERT ? FO_ALERTABLE_IO : 0;
    File->Flags = Flags;
    return STATUS_SUCCESS;
}

/* Settings that concern the open alone. STATUS_PENDING: the request must go to the driver. */
static NTSTATUS AnswerSet(PIOP_CALL Call, FILE_INFORMATION_CLASS Class, PVOID Buffer) {
    PFILE_OBJECT File = Call->File;
    if (Class == FileModeInformation) {
        return SetMode(File, ((PFILE_MODE_INFORMATION)Buffer)->Mode);
    }
    if (Class == FilePositionInformation && (File->Flags & FO_SYNCHRONOUS_IO)) {
        LARGE_INTEGER Position = ((PFILE_POSITION_INFORMATION)Buffer)->CurrentByteOffset;
        if (Position.QuadPart < 0) {
            return STATUS_INVALID_PARAMETER;
        }
        File->CurrentByteOffset = Position;
        return STATUS_SUCCESS;
    }
    return STATUS_PENDING;
}

/* The directory that a rename goes to, open until the rename is done. NULL: the name is in the file's own. */
typedef struct _RENAME {
    PFILE_OBJECT Directory;
} RENAME;

static NTSTATUS OpenDirectoryOf(PIOP_CALL Call, PFILE_RENAME_INFORMATION Info, PFILE_OBJECT *Directory) {
    UNICODE_STRING Name = {(USHORT)Info->FileNameLength, (USHORT)Info->FileNameLength, Info->FileName};
    OBJECT_ATTRIBUTES Attributes;
    IOP_OPEN Open = {.DesiredAccess = FILE_WRITE_DATA | SYNCHRONIZE,
                     .ShareAccess = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                     .Disposition = FILE_OPEN,
                     .CreateOptions = FILE_OPEN_FOR_BACKUP_INTENT | FILE_SYNCHRONOUS_IO_NONALERT,
                     .StackFlags = SL_OPEN_TARGET_DIRECTORY};
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, Info->RootDirectory, NULL);
    NTSTATUS Status = IopOpenFile(&Attributes, &Open, Directory);
    if (NT_SUCCESS(Status) && (*Directory)->DeviceObject != Call->File->DeviceObject) {
        ObfDereferenceObject(*Directory);
        *Directory = NULL;
        return STATUS_NOT_SAME_DEVICE;
    }
    return Status;
}

/* A full path, or one relative to an open directory, needs its directory opened first: the file system gets it as
 * SetFile.FileObject, with the last component as its FileName. */
static NTSTATUS PrepareRename(PIOP_CALL Call, PIRP Irp, ULONG Length, PFILE_OBJECT *Directory) {
    PFILE_RENAME_INFORMATION Info = Irp->AssociatedIrp.SystemBuffer;
    PIO_STACK_LOCATION Stack = IoGetNextIrpStackLocation(Irp);
    ULONG Room = Length - (ULONG)FIELD_OFFSET(FILE_RENAME_INFORMATION, FileName);
    if (Info->FileNameLength > Room || Info->FileNameLength == 0 || Info->FileNameLength % sizeof(WCHAR) != 0 ||
        Info->FileNameLength > 0xFFFC) {
        return STATUS_INVALID_PARAMETER;
    }
    Stack->Parameters.SetFile.ReplaceIfExists = Info->ReplaceIfExists & 1;
    if (Info->FileName[0] != '\\' && Info->RootDirectory == NULL) {
        return STATUS_SUCCESS;
    }
    NTSTATUS Status = OpenDirectoryOf(Call, Info, Directory);
    Stack->Parameters.SetFile.FileObject = *Directory;
    return Status;
}

static NTSTATUS SendSet(PIOP_CALL Call, PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length,
                        FILE_INFORMATION_CLASS Class) {
    PFILE_OBJECT Directory = NULL;
    PIRP Irp = IopAllocateFileIrp(Call->File, Call->Device, IRP_MJ_SET_INFORMATION);
    if (Irp == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    PIO_STACK_LOCATION Stack = IoGetNextIrpStackLocation(Irp);
    Stack->Parameters.SetFile.Length = Length;
    Stack->Parameters.SetFile.FileInformationClass = Class;
    NTSTATUS Status = IopAttachSystemBuffer(Irp, Buffer, Length, NULL, 0);
    if (NT_SUCCESS(Status) && (Class == FileRenameInformation || Class == FileRenameInformationEx)) {
        Status = PrepareRename(Call, Irp, Length, &Directory);
    }
    if (!NT_SUCCESS(Status)) {
        IopDropIrp(Irp);
        return Status;
    }
    Status = IopPerformAndWait(Call, Irp, IoStatusBlock);
    if (Directory != NULL) {
        ObfDereferenceObject(Directory);
    }
    return Status;
}

/* PASSIVE_LEVEL by its documentation. STATUS_INVALID_INFO_CLASS, STATUS_INFO_LENGTH_MISMATCH, STATUS_ACCESS_DENIED,
 * STATUS_INVALID_PARAMETER for a name that does not fit into Length, and the file system's.
 * wdm.h: ZwSetInformationFile. */
NTSTATUS ZwSetInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID FileInformation, ULONG Length,
                              FILE_INFORMATION_CLASS FileInformationClass) {
    IOP_CALL Call;
    ACCESS_MASK Access;
    NTSTATUS Status = CheckClass(FileInformationClass, Length, TRUE, &Access);
    if (NT_SUCCESS(Status)) {
        Status = IopBeginCall(FileHandle, Access, NULL, &Call);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = AnswerSet(&Call, FileInformationClass, FileInformation);
    if (Status == STATUS_PENDING) {
        Status = SendSet(&Call, IoStatusBlock, FileInformation, Length, FileInformationClass);
    } else {
        *IoStatusBlock = (IO_STATUS_BLOCK){.Status = Status, .Information = 0};
    }
    IopEndCall(&Call);
    return Status;
}

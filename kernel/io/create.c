/* create.c: ZwCreateFile: checked parameters, the device that the name leads to, its driver's CREATE.
 *
 * The name space ends at a device; the rest of the path is the driver's, in FileObject->FileName:
 *
 *      \??\C:\Temp\x  ->  \Device\HarddiskVolume1, and "\Temp\x" for the file system
 *
 * Nothing here is paged and nothing asks for the IRQL: a call at DISPATCH_LEVEL dies in the file system, as on NT. */
#include "iop.h"

#define SYNCHRONOUS_OPTIONS (FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT)
/* Options that are legal together with FILE_DIRECTORY_FILE. */
#define DIRECTORY_OPTIONS                                                                                         \
    (FILE_DIRECTORY_FILE | SYNCHRONOUS_OPTIONS | FILE_WRITE_THROUGH | FILE_COMPLETE_IF_OPLOCKED |                 \
     FILE_OPEN_BY_FILE_ID | FILE_OPEN_FOR_BACKUP_INTENT | FILE_DELETE_ON_CLOSE | FILE_OPEN_FOR_FREE_SPACE_QUERY | \
     FILE_NO_COMPRESSION | FILE_OPEN_REPARSE_POINT)

static BOOLEAN IsValidDirectoryOpen(const IOP_OPEN *Open) {
    return (Open->CreateOptions & ~DIRECTORY_OPTIONS) == 0 &&
           (Open->Disposition == FILE_CREATE || Open->Disposition == FILE_OPEN || Open->Disposition == FILE_OPEN_IF);
}

/* STATUS_INVALID_PARAMETER for combinations that NT refuses before it looks at the name. */
static NTSTATUS CheckParameters(const IOP_OPEN *Open) {
    ULONG Options = Open->CreateOptions;
    BOOLEAN IsInvalid =
        (Open->FileAttributes & ~FILE_ATTRIBUTE_VALID_FLAGS) || (Open->ShareAccess & ~FILE_SHARE_VALID_FLAGS) ||
        Open->Disposition > FILE_MAXIMUM_DISPOSITION || (Options & ~FILE_VALID_OPTION_FLAGS) ||
        ((Options & SYNCHRONOUS_OPTIONS) && !(Open->DesiredAccess & SYNCHRONIZE)) ||
        (Options & SYNCHRONOUS_OPTIONS) == SYNCHRONOUS_OPTIONS ||
        ((Options & FILE_DELETE_ON_CLOSE) && !(Open->DesiredAccess & DELETE)) ||
        ((Options & FILE_NO_INTERMEDIATE_BUFFERING) && (Open->DesiredAccess & FILE_APPEND_DATA)) ||
        ((Options & FILE_COMPLETE_IF_OPLOCKED) && (Options & FILE_RESERVE_OPFILTER)) ||
        ((Options & FILE_DIRECTORY_FILE) && !IsValidDirectoryOpen(Open)) || Open->AllocationSize.QuadPart < 0;
    return IsInvalid ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
}

/* Where an open goes: a device, the rest of the name, and the file that a relative name starts from. */
typedef struct _TARGET {
    PDEVICE_OBJECT Device; /* referenced */
    UNICODE_STRING Name;
    PFILE_OBJECT Related; /* referenced, or NULL */
    OB_LOOKUP Lookup;     /* holds Name's text */
} TARGET;

static NTSTATUS FindByName(PVOID Root, POBJECT_ATTRIBUTES Attributes, TARGET *Target) {
    NTSTATUS Status =
        ObLookupName(Root, Attributes->ObjectName, Attributes->Attributes & ~OBJ_OPENLINK, &Target->Lookup);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (ObGetType(Target->Lookup.Object) != &IopDeviceType) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    Target->Device = Target->Lookup.Object;
    ObfReferenceObject(Target->Device);
    Target->Name = Target->Lookup.Rest;
    return STATUS_SUCCESS;
}

/* RootDirectory is an open file: the name is relative to it, on its device. Takes over the reference to Related. */
static NTSTATUS FindRelative(PFILE_OBJECT Related, POBJECT_ATTRIBUTES Attributes, TARGET *Target) {
    Target->Related = Related;
    Target->Device = Related->DeviceObject;
    ObfReferenceObject(Target->Device);
    if (Attributes->ObjectName != NULL) {
        Target->Name = *Attributes->ObjectName;
    }
    WCHAR First = 0;
    NTSTATUS Status =
        Target->Name.Length != 0 ? KiCopyGuarded(&First, Target->Name.Buffer, sizeof(First)) : STATUS_SUCCESS;
    return First == '\\' ? STATUS_INVALID_PARAMETER : Status;
}

static NTSTATUS FindTarget(POBJECT_ATTRIBUTES Attributes, TARGET *Target) {
    PVOID Root = NULL;
    *Target = (TARGET){};
    if (Attributes->RootDirectory == NULL) {
        return FindByName(NULL, Attributes, Target);
    }
    NTSTATUS Status = ObReferenceHandleWithAccess(Attributes->RootDirectory, NULL, 0, NULL, &Root);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (ObGetType(Root) == &IopFileType) {
        return FindRelative(Root, Attributes, Target);
    }
    Status = FindByName(Root, Attributes, Target);
    ObfDereferenceObject(Root);
    return Status;
}

static VOID ReleaseTarget(TARGET *Target) {
    if (Target->Device != NULL) {
        ObfDereferenceObject(Target->Device);
    }
    if (Target->Related != NULL) {
        ObfDereferenceObject(Target->Related);
    }
    ObReleaseLookup(&Target->Lookup);
}

static ULONG FlagsForOptions(const IOP_OPEN *Open) {
    ULONG Options = Open->CreateOptions, Flags = 0;
    Flags |= Options & SYNCHRONOUS_OPTIONS ? FO_SYNCHRONOUS_IO : 0;
    Flags |= Options & FILE_SYNCHRONOUS_IO_ALERT ? FO_ALERTABLE_IO : 0;
    Flags |= Options & FILE_NO_INTERMEDIATE_BUFFERING ? FO_NO_INTERMEDIATE_BUFFERING : 0;
    Flags |= Options & FILE_WRITE_THROUGH ? FO_WRITE_THROUGH : 0;
    Flags |= Options & FILE_SEQUENTIAL_ONLY ? FO_SEQUENTIAL_ONLY : 0;
    Flags |= Options & FILE_RANDOM_ACCESS ? FO_RANDOM_ACCESS : 0;
    return Flags;
}

static NTSTATUS CopyName(PFILE_OBJECT File, PCUNICODE_STRING Name) {
    if (Name->Length == 0) {
        return STATUS_SUCCESS;
    }
    PWCH Buffer = ExAllocatePoolWithTag(NonPagedPoolNx, Name->Length + sizeof(WCHAR), TAG_FILE);
    if (Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    NTSTATUS Status = KiCopyGuarded(Buffer, Name->Buffer, Name->Length); /* of a relative open it is the caller's */
    if (!NT_SUCCESS(Status)) {
        ExFreePool(Buffer);
        return Status;
    }
    Buffer[Name->Length / sizeof(WCHAR)] = 0;
    File->FileName = (UNICODE_STRING){Name->Length, (USHORT)(Name->Length + sizeof(WCHAR)), Buffer};
    return STATUS_SUCCESS;
}

/* A file object for the target, counted on its device; no driver knows of it yet. */
static NTSTATUS CreateFileObject(TARGET *Target, const IOP_OPEN *Open, PFILE_OBJECT *Created) {
    PFILE_OBJECT File = ObCreateObject(&IopFileType, sizeof(*File));
    if (File == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    File->Type = IO_TYPE_FILE;
    File->Size = sizeof(*File);
    File->Flags = FlagsForOptions(Open);
    KeInitializeEvent(&File->Lock, SynchronizationEvent, FALSE);
    KeInitializeEvent(&File->Event, NotificationEvent, FALSE);
    KeInitializeSpinLock(&File->IrpListLock);
    InitializeListHead(&File->IrpList);
    NTSTATUS Status = CopyName(File, &Target->Name);
    if (NT_SUCCESS(Status)) {
        Status = IopReferenceDevice(Target->Device, Target->Related != NULL);
    }
    if (!NT_SUCCESS(Status)) {
        ObfDereferenceObject(File);
        return Status;
    }
    File->DeviceObject = Target->Device;
    File->RelatedFileObject = Target->Related;
    *Created = File;
    return STATUS_SUCCESS;
}

/* IRP_MJ_CREATE, and the driver's answer in Open->Result. */
static NTSTATUS SendCreate(PFILE_OBJECT File, PIOP_OPEN Open, ULONG Attributes) {
    PDEVICE_OBJECT Device = IoGetRelatedDeviceObject(File);
    PIRP Irp = IopAllocateFileIrp(File, Device, IRP_MJ_CREATE);
    if (Irp == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    ACCESS_STATE State = {.OriginalDesiredAccess = Open->DesiredAccess, .PreviouslyGrantedAccess = Open->DesiredAccess};
    IO_SECURITY_CONTEXT Context = {
        .AccessState = &State, .DesiredAccess = Open->DesiredAccess, .FullCreateOptions = Open->CreateOptions};
    PIO_STACK_LOCATION Stack = IoGetNextIrpStackLocation(Irp);
    Stack->Flags = Open->StackFlags;
    Stack->Parameters.Create.SecurityContext = &Context;
    Stack->Parameters.Create.Options = Open->Disposition << 24 | (Open->CreateOptions & 0x00FFFFFF);
    Stack->Parameters.Create.FileAttributes = (USHORT)Open->FileAttributes;
    Stack->Parameters.Create.ShareAccess = (USHORT)Open->ShareAccess;
    Stack->Parameters.Create.EaLength = Open->EaLength;
    Irp->AssociatedIrp.SystemBuffer = Open->EaBuffer;
    Irp->Overlay.AllocationSize = Open->AllocationSize;
    Irp->Flags |= IRP_CREATE_OPERATION;
    UNREFERENCED_PARAMETER(Attributes); /* names are case-insensitive for a file system, as by default on NT */
    return IopSendAndWait(Device, Irp, &Open->Result);
}

/* The full path of a file that was opened relative to another; drivers see the relative one during CREATE only. */
static VOID CompleteName(PFILE_OBJECT File, PFILE_OBJECT Related) {
    UNICODE_STRING Short = File->FileName;
    BOOLEAN NeedsSeparator = Short.Length != 0 && Related->FileName.Length > sizeof(WCHAR);
    ULONG Bytes = Related->FileName.Length + Short.Length + (NeedsSeparator ? sizeof(WCHAR) : 0);
    PWCH Buffer = Bytes > 0xFFFC ? NULL : ExAllocatePoolWithTag(NonPagedPoolNx, Bytes + sizeof(WCHAR), TAG_FILE);
    if (Buffer == NULL) {
        return;
    }
    PWCH Tail = Buffer + Related->FileName.Length / sizeof(WCHAR);
    memcpy(Buffer, Related->FileName.Buffer, Related->FileName.Length);
    if (NeedsSeparator) {
        *Tail++ = '\\';
    }
    if (Short.Buffer != NULL) {
        memcpy(Tail, Short.Buffer, Short.Length);
    }
    Buffer[Bytes / sizeof(WCHAR)] = 0;
    File->FileName = (UNICODE_STRING){(USHORT)Bytes, (USHORT)(Bytes + sizeof(WCHAR)), Buffer};
    if (Short.Buffer != NULL) {
        ExFreePool(Short.Buffer);
    }
}

/* See iop.h. */
NTSTATUS IopOpenFile(POBJECT_ATTRIBUTES ObjectAttributes, PIOP_OPEN Open, PFILE_OBJECT *File) {
    OB_CAPTURE Own = {};
    TARGET Target;
    *File = NULL;
    NTSTATUS Status = ObCaptureAttributes(ObjectAttributes, &Own);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = FindTarget(&Own.Attributes, &Target);
    if (NT_SUCCESS(Status)) {
        Status = CreateFileObject(&Target, Open, File);
    }
    if (NT_SUCCESS(Status)) {
        Status = SendCreate(*File, Open, Own.Attributes.Attributes);
        (*File)->RelatedFileObject = NULL; /* valid during CREATE only */
        if (NT_SUCCESS(Status)) {
            (*File)->Flags |= FO_FILE_OPEN;
            if (Target.Related != NULL && !(Open->StackFlags & SL_OPEN_TARGET_DIRECTORY)) {
                CompleteName(*File, Target.Related);
            }
        } else {
            ObfDereferenceObject(*File);
            *File = NULL;
        }
    }
    ReleaseTarget(&Target);
    return Status;
}

/* PASSIVE_LEVEL by its documentation. IoStatusBlock is written on success only, as on NT; *FileHandle is NULL otherwise.
 * wdm.h: IoCreateFile. */
NTSTATUS IoCreateFile(PHANDLE FileHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                      PIO_STATUS_BLOCK IoStatusBlock, PLARGE_INTEGER AllocationSize, ULONG FileAttributes,
                      ULONG ShareAccess, ULONG Disposition, ULONG CreateOptions, PVOID EaBuffer, ULONG EaLength,
                      ULONG CreateFileType, PVOID InternalParameters, ULONG Options) {
    UNREFERENCED_PARAMETER(CreateFileType); /* there are no pipes and mailslots */
    UNREFERENCED_PARAMETER(InternalParameters);
    PFILE_OBJECT File;
    IOP_OPEN Open = {.DesiredAccess = ObMapAccess(&IopFileType, DesiredAccess),
                     .AllocationSize = {.QuadPart = AllocationSize == NULL ? 0 : AllocationSize->QuadPart},
                     .FileAttributes = FileAttributes,
                     .ShareAccess = ShareAccess,
                     .Disposition = Disposition,
                     .CreateOptions = CreateOptions,
                     .EaBuffer = EaBuffer,
                     .EaLength = EaLength};
    *FileHandle = NULL;
    NTSTATUS Opened, Status = Options & IO_NO_PARAMETER_CHECKING ? STATUS_SUCCESS : CheckParameters(&Open);
    if (NT_SUCCESS(Status)) {
        Status = IopOpenFile(ObjectAttributes, &Open, &File);
    }
    if (!NT_SUCCESS(Opened = Status)) {
        return Status;
    }
    File->Flags |= FO_HANDLE_CREATED;
    Status = ObInsertHandleWithAccess(File, Open.DesiredAccess, ObjectAttributes->Attributes, FileHandle);
    ObfDereferenceObject(File);
    if (NT_SUCCESS(Status)) {
        *IoStatusBlock = Open.Result;
        Status = Opened;
    }
    return Status;
}

/* PASSIVE_LEVEL by its documentation. wdm.h: ZwCreateFile. */
NTSTATUS ZwCreateFile(PHANDLE FileHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                      PIO_STATUS_BLOCK IoStatusBlock, PLARGE_INTEGER AllocationSize, ULONG FileAttributes,
                      ULONG ShareAccess, ULONG CreateDisposition, ULONG CreateOptions, PVOID EaBuffer, ULONG EaLength) {
    return IoCreateFile(FileHandle, DesiredAccess, ObjectAttributes, IoStatusBlock, AllocationSize, FileAttributes,
                        ShareAccess, CreateDisposition, CreateOptions, EaBuffer, EaLength, CreateFileTypeNone, NULL, 0);
}

/* PASSIVE_LEVEL by its documentation. wdm.h: ZwOpenFile. */
NTSTATUS ZwOpenFile(PHANDLE FileHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                    PIO_STATUS_BLOCK IoStatusBlock, ULONG ShareAccess, ULONG OpenOptions) {
    return IoCreateFile(FileHandle, DesiredAccess, ObjectAttributes, IoStatusBlock, NULL, 0, ShareAccess, FILE_OPEN,
                        OpenOptions, NULL, 0, CreateFileTypeNone, NULL, 0);
}

/* sample_filter.c: a filter over the null device counts what is written, and leaves when no request is inside it any more.
 *
 * expect: completed
 * run: --verifier --unload
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD Unload;
DRIVER_DISPATCH PassThrough, DispatchWrite;
IO_COMPLETION_ROUTINE WriteDone;

#define FILTER_TAG 'tliF'
#define WRITES 5

typedef struct _FILTER_EXTENSION {
    PDEVICE_OBJECT Lower;
    IO_REMOVE_LOCK RemoveLock;
    LONG64 Bytes;
} FILTER_EXTENSION, *PFILTER_EXTENSION;

_Use_decl_annotations_
NTSTATUS PassThrough(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    PFILTER_EXTENSION Extension = (PFILTER_EXTENSION)DeviceObject->DeviceExtension;
    NTSTATUS Status = IoAcquireRemoveLock(&Extension->RemoveLock, Irp);
    if (!NT_SUCCESS(Status)) {
        Irp->IoStatus.Status = Status;
        IoCompleteRequest(Irp, IO_NO_INCREMENT);
        return Status;
    }
    IoSkipCurrentIrpStackLocation(Irp);
    Status = IoCallDriver(Extension->Lower, Irp);
    IoReleaseRemoveLock(&Extension->RemoveLock, Irp);
    return Status;
}

_Use_decl_annotations_
NTSTATUS WriteDone(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context) {
    PFILTER_EXTENSION Extension = (PFILTER_EXTENSION)Context;
    UNREFERENCED_PARAMETER(DeviceObject);
    if (Irp->PendingReturned) {
        IoMarkIrpPending(Irp);
    }
    InterlockedAdd64(&Extension->Bytes, (LONG64)Irp->IoStatus.Information);
    IoReleaseRemoveLock(&Extension->RemoveLock, Irp);
    return STATUS_CONTINUE_COMPLETION;
}

_Use_decl_annotations_
NTSTATUS DispatchWrite(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    PFILTER_EXTENSION Extension = (PFILTER_EXTENSION)DeviceObject->DeviceExtension;
    NTSTATUS Status = IoAcquireRemoveLock(&Extension->RemoveLock, Irp);
    if (!NT_SUCCESS(Status)) {
        Irp->IoStatus.Status = Status;
        IoCompleteRequest(Irp, IO_NO_INCREMENT);
        return Status;
    }
    IoCopyCurrentIrpStackLocationToNext(Irp);
    IoSetCompletionRoutine(Irp, WriteDone, Extension, TRUE, TRUE, TRUE);
    return IoCallDriver(Extension->Lower, Irp);
}

static NTSTATUS AttachFilter(PDRIVER_OBJECT DriverObject) {
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\Null");
    PFILE_OBJECT File;
    PDEVICE_OBJECT Target, Filter;
    NTSTATUS Status = IoGetDeviceObjectPointer(&Name, FILE_READ_ATTRIBUTES, &File, &Target);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IoCreateDevice(DriverObject, sizeof(FILTER_EXTENSION), NULL, Target->DeviceType, 0, FALSE, &Filter);
    if (NT_SUCCESS(Status)) {
        PFILTER_EXTENSION Extension = (PFILTER_EXTENSION)Filter->DeviceExtension;
        IoInitializeRemoveLock(&Extension->RemoveLock, FILTER_TAG, 0, 0);
        Extension->Lower = IoAttachDeviceToDeviceStack(Filter, Target);
        if (Extension->Lower == NULL) {
            IoDeleteDevice(Filter);
            Status = STATUS_DEVICE_REMOVED;
        } else {
            Filter->Flags |= Extension->Lower->Flags & (DO_BUFFERED_IO | DO_DIRECT_IO | DO_POWER_PAGABLE);
            Filter->Characteristics = Extension->Lower->Characteristics;
            Filter->Flags &= ~DO_DEVICE_INITIALIZING;
        }
    }
    ObDereferenceObject(File);
    return Status;
}

/* As an application would. */
static NTSTATUS UseDevice(VOID) {
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\??\\NUL");
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Result;
    HANDLE Handle;
    CHAR Text[] = "forgotten at once";
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    NTSTATUS Status = ZwOpenFile(&Handle, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, &Attributes, &Result,
                                 FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_SYNCHRONOUS_IO_NONALERT);
    for (ULONG i = 0; i < WRITES && NT_SUCCESS(Status); i++) {
        Status = ZwWriteFile(Handle, NULL, NULL, NULL, &Result, Text, sizeof(Text), NULL, NULL);
    }
    if (NT_SUCCESS(Status)) {
        Status = ZwReadFile(Handle, NULL, NULL, NULL, &Result, Text, sizeof(Text), NULL, NULL);
        Status = Status == STATUS_END_OF_FILE ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
        ZwClose(Handle);
    }
    return Status;
}

VOID Unload(PDRIVER_OBJECT DriverObject) {
    PDEVICE_OBJECT Filter = DriverObject->DeviceObject;
    PFILTER_EXTENSION Extension = (PFILTER_EXTENSION)Filter->DeviceExtension;
    NTSTATUS Status = IoAcquireRemoveLock(&Extension->RemoveLock, DriverObject);
    if (NT_SUCCESS(Status)) {
        IoReleaseRemoveLockAndWait(&Extension->RemoveLock, DriverObject);
    }
    IoDetachDevice(Extension->Lower);
    DbgPrint("%I64d bytes\n", Extension->Bytes);
    if (Extension->Bytes != WRITES * sizeof("forgotten at once")) {
        KeBugCheckEx(0xDEAD0001, (ULONG_PTR)Extension->Bytes, 0, 0, 0);
    }
    IoDeleteDevice(Filter);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(RegistryPath);
    for (ULONG i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++) {
        DriverObject->MajorFunction[i] = PassThrough;
    }
    DriverObject->MajorFunction[IRP_MJ_WRITE] = DispatchWrite;
    DriverObject->DriverUnload = Unload;
    NTSTATUS Status = AttachFilter(DriverObject);
    return NT_SUCCESS(Status) ? UseDevice() : Status;
}

/* io_pending_not_marked.c: a read is pended by its return value alone, without IoMarkIrpPending: its completion does
 * not know that the requester waits, and tells it nothing.
 *
 * expect: deadlock waits for
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static KDPC Dpc;

static NTSTATUS Complete(PIRP Irp) {
    Irp->IoStatus.Status = STATUS_SUCCESS;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_SUCCESS;
}

static VOID AnswerLater(PKDPC Deferred, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Deferred);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument2);
    Complete((PIRP)Argument1);
}

static NTSTATUS OnRead(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    KeInsertQueueDpc(&Dpc, Irp, NULL);
    return STATUS_PENDING;
}

static NTSTATUS OnOther(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    return Complete(Irp);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\NotMarked");
    OBJECT_ATTRIBUTES Attributes;
    PDEVICE_OBJECT Device;
    IO_STATUS_BLOCK Result;
    HANDLE File;
    UCHAR Buffer[8];
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeDpc(&Dpc, AnswerLater, NULL);
    DriverObject->MajorFunction[IRP_MJ_READ] = OnRead;
    DriverObject->MajorFunction[IRP_MJ_CREATE] = DriverObject->MajorFunction[IRP_MJ_CLOSE] = OnOther;
    DriverObject->MajorFunction[IRP_MJ_CLEANUP] = OnOther;
    NTSTATUS Status = IoCreateDevice(DriverObject, 0, &Name, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Device->Flags &= ~DO_DEVICE_INITIALIZING;
    InitializeObjectAttributes(&Attributes, &Name, OBJ_KERNEL_HANDLE, NULL, NULL);
    Status = ZwOpenFile(&File, FILE_READ_DATA | SYNCHRONIZE, &Attributes, &Result, 0, FILE_SYNCHRONOUS_IO_NONALERT);
    if (NT_SUCCESS(Status)) {
        Status = ZwReadFile(File, NULL, NULL, NULL, &Result, Buffer, sizeof(Buffer), NULL, NULL);
        ZwClose(File);
    }
    IoDeleteDevice(Device);
    return Status;
}

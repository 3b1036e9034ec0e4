/* io_never_completed.c: a dispatch routine returns STATUS_SUCCESS and forgets to complete the request. Its caller goes on,
 * since nothing was pended; the request, and with it the open file, stays behind.
 *
 * expect: undecided (IRP_MJ_READ) of thread
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static NTSTATUS Complete(PIRP Irp) {
    Irp->IoStatus.Status = STATUS_SUCCESS;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_SUCCESS;
}

static NTSTATUS OnRead(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    Irp->IoStatus.Status = STATUS_SUCCESS;
    Irp->IoStatus.Information = 0;
    return STATUS_SUCCESS;
}

static NTSTATUS OnOther(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    return Complete(Irp);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\NeverCompleted");
    OBJECT_ATTRIBUTES Attributes;
    PDEVICE_OBJECT Device;
    IO_STATUS_BLOCK Result;
    HANDLE File;
    UCHAR Buffer[8];
    UNREFERENCED_PARAMETER(RegistryPath);
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

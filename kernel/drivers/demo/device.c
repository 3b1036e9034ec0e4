/* device.c: the plumbing of every demo driver: a device, its dispatch routines, unload. */
#include "secret.h"

static NTSTATUS Complete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information) {
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS OnCreateClose(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS OnDeviceControl(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    PVOID Buffer = Irp->AssociatedIrp.SystemBuffer;
    ULONG InputLength = Stack->Parameters.DeviceIoControl.InputBufferLength;
    ULONG OutputLength = Stack->Parameters.DeviceIoControl.OutputBufferLength;
    PSECRET_REPORT Report = (PSECRET_REPORT)Buffer;

    switch (Stack->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_SECRET_STORE:
        if (InputLength < sizeof(ULONG64)) {
            return Complete(Irp, STATUS_BUFFER_TOO_SMALL, 0);
        }
        SecretStore(*(PULONG64)Buffer);
        return Complete(Irp, STATUS_SUCCESS, 0);
    case IOCTL_SECRET_READ:
    case IOCTL_SECRET_LOCATE:
        if (OutputLength < sizeof(SECRET_REPORT)) {
            return Complete(Irp, STATUS_BUFFER_TOO_SMALL, 0);
        }
        RtlZeroMemory(Report, sizeof(SECRET_REPORT));
        SecretLocate(Report);
        if (Stack->Parameters.DeviceIoControl.IoControlCode == IOCTL_SECRET_READ) {
            Report->Number = Secret->Number;
            Report->Writes = Secret->Writes;
        }
        return Complete(Irp, STATUS_SUCCESS, sizeof(SECRET_REPORT));
    default:
        return Complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static VOID OnUnload(PDRIVER_OBJECT DriverObject) {
    IoDeleteDevice(DriverObject->DeviceObject);
    if (Secret) {
        ExFreePoolWithTag(Secret, SECRET_TAG);
    }
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PDEVICE_OBJECT Device;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Status = IoCreateDevice(DriverObject, 0, NULL, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE, &Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = SecretCreate();
    if (!NT_SUCCESS(Status)) {
        IoDeleteDevice(Device);
        return Status;
    }
    DriverObject->MajorFunction[IRP_MJ_CREATE] = OnCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = OnCreateClose;
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = OnDeviceControl;
    DriverObject->DriverUnload = OnUnload;
    Device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

/* io_complete_twice.c: a dispatch routine completes its request where it fails, and again at its end.
 *
 * expect: bugcheck 0x00000044 (nonpaged, 0, 0, 0) in io_complete_twice
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static NTSTATUS OnControl(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    NTSTATUS Status = STATUS_SUCCESS;
    UNREFERENCED_PARAMETER(DeviceObject);
    if (IoGetCurrentIrpStackLocation(Irp)->Parameters.DeviceIoControl.InputBufferLength == 0) {
        Status = STATUS_BUFFER_TOO_SMALL;
        Irp->IoStatus.Status = Status;
        IoCompleteRequest(Irp, IO_NO_INCREMENT);
    }
    Irp->IoStatus.Status = Status;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PDEVICE_OBJECT Device;
    KEVENT Done;
    IO_STATUS_BLOCK Result;
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = OnControl;
    NTSTATUS Status = IoCreateDevice(DriverObject, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    PIRP Irp = IoBuildDeviceIoControlRequest(CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS),
                                             Device, NULL, 0, NULL, 0, FALSE, &Done, &Result);
    if (Irp != NULL) {
        Status = IoCallDriver(Device, Irp);
        if (Status == STATUS_PENDING) {
            KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
            Status = Result.Status;
        }
        DbgPrint("the request ended with 0x%08X\n", Status);
    }
    IoDeleteDevice(Device);
    return STATUS_SUCCESS;
}

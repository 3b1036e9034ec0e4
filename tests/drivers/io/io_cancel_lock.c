/* io_cancel_lock.c: a cancel routine forgets to release the cancel spin lock.
 *
 * expect: bugcheck 0x0000011B (nonpaged, driver, 0, 0) in io_cancel_lock
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static PIRP Pending;

static VOID OnCancel(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    DbgPrint("cancelled at IRQL %u\n", KeGetCurrentIrql());
    Irp->IoStatus.Status = STATUS_CANCELLED;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
}

static NTSTATUS OnControl(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    IoMarkIrpPending(Irp);
    Pending = Irp;
    IoSetCancelRoutine(Irp, OnCancel);
    return STATUS_PENDING;
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
    if (Irp != NULL && IoCallDriver(Device, Irp) == STATUS_PENDING) {
        IoCancelIrp(Pending);
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
        Status = Result.Status == STATUS_CANCELLED ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
    }
    IoDeleteDevice(Device);
    return Status;
}

/* verify_dispatch.c: a dispatch routine raises the IRQL and returns so.
 *
 * expect: bugcheck 0x000000C9 (5, nonpaged, 0, 2)
 * run: --verifier=io
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD Unload;
static DRIVER_DISPATCH Control;

static NTSTATUS Control(PDEVICE_OBJECT Device, PIRP Irp) {
    KIRQL OldIrql;
    UNREFERENCED_PARAMETER(Device);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    Irp->IoStatus.Status = STATUS_SUCCESS;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_SUCCESS;
}

VOID Unload(PDRIVER_OBJECT Driver) {
    IoDeleteDevice(Driver->DeviceObject);
}

static VOID Ask(PDEVICE_OBJECT Device) {
    KIRQL Before = KeGetCurrentIrql();
    KEVENT Event;
    IO_STATUS_BLOCK Status;
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    PIRP Irp = IoBuildDeviceIoControlRequest(CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS),
                                             Device, NULL, 0, NULL, 0, FALSE, &Event, &Status);
    if (Irp != NULL) {
        IoCallDriver(Device, Irp);
    }
    KeLowerIrql(Before); /* what the dispatch routine forgot, its caller hides */
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Path);
    PDEVICE_OBJECT Device;
    NTSTATUS Status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Driver->DriverUnload = Unload;
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Control;
    Ask(Device);
    return STATUS_SUCCESS;
}

/* io_no_stack_location.c: a request with one location passes through two drivers.
 *
 * expect: bugcheck 0x00000035 (nonpaged, 0, 0, 0) in io_no_stack_location
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static PDEVICE_OBJECT Lower;

static NTSTATUS OnRead(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    if (DeviceObject != Lower) {
        IoCopyCurrentIrpStackLocationToNext(Irp);
        return IoCallDriver(Lower, Irp);
    }
    Irp->IoStatus.Status = STATUS_SUCCESS;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_SUCCESS;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PDEVICE_OBJECT Upper;
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->MajorFunction[IRP_MJ_READ] = OnRead;
    NTSTATUS Status = IoCreateDevice(DriverObject, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Lower);
    if (NT_SUCCESS(Status)) {
        Status = IoCreateDevice(DriverObject, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Upper);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    IoAttachDeviceToDeviceStack(Upper, Lower); /* Upper->StackSize is 2 now */
    PIRP Irp = IoAllocateIrp(Lower->StackSize, FALSE);
    IoGetNextIrpStackLocation(Irp)->MajorFunction = IRP_MJ_READ;
    IoCallDriver(Upper, Irp);
    IoDetachDevice(Lower);
    IoDeleteDevice(Upper);
    IoDeleteDevice(Lower);
    return STATUS_SUCCESS;
}

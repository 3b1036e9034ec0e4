/* io_left_pending.c: DriverEntry sends its own device a request, which that queues, and returns: it is never completed.
 *
 * expect: undecided (IRP_MJ_DEVICE_CONTROL) of thread
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define CODE CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)

static LIST_ENTRY Queue;
static KEVENT Done;
static IO_STATUS_BLOCK Result;

static NTSTATUS OnControl(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    IoMarkIrpPending(Irp);
    InsertTailList(&Queue, &Irp->Tail.Overlay.ListEntry);
    return STATUS_PENDING;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PDEVICE_OBJECT Device;
    UNREFERENCED_PARAMETER(RegistryPath);
    InitializeListHead(&Queue);
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = OnControl;
    NTSTATUS Status = IoCreateDevice(DriverObject, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    PIRP Irp = IoBuildDeviceIoControlRequest(CODE, Device, NULL, 0, NULL, 0, FALSE, &Done, &Result);
    if (Irp == NULL) {
        IoDeleteDevice(Device);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    IoCallDriver(Device, Irp);
    return STATUS_SUCCESS;
}

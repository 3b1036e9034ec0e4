/* io_left_pending_fixed.c: DriverEntry sends its own device a request, which that queues; DriverUnload completes it.
 *
 * expect: completed
 * run: --unload
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

static VOID Unload(PDRIVER_OBJECT DriverObject) {
    while (!IsListEmpty(&Queue)) {
        PIRP Irp = CONTAINING_RECORD(RemoveHeadList(&Queue), IRP, Tail.Overlay.ListEntry);
        Irp->IoStatus.Status = STATUS_DEVICE_REMOVED;
        Irp->IoStatus.Information = 0;
        IoCompleteRequest(Irp, IO_NO_INCREMENT);
    }
    KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL); /* the end writes to our data */
    IoDeleteDevice(DriverObject->DeviceObject);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PDEVICE_OBJECT Device;
    UNREFERENCED_PARAMETER(RegistryPath);
    InitializeListHead(&Queue);
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    DriverObject->DriverUnload = Unload;
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

/* io_own_left_pending.c: a request of the driver's own, from IoAllocateIrp, is queued by its device, never completed.
 *
 * expect: undecided (IRP_MJ_READ) of no thread is pending in io_own_left_pending.sys
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static LIST_ENTRY Queue;

static NTSTATUS OnRead(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    IoMarkIrpPending(Irp);
    InsertTailList(&Queue, &Irp->Tail.Overlay.ListEntry);
    return STATUS_PENDING;
}

static NTSTATUS OnReadDone(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context) {
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Context);
    IoFreeIrp(Irp);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PDEVICE_OBJECT Device;
    UNREFERENCED_PARAMETER(RegistryPath);
    InitializeListHead(&Queue);
    DriverObject->MajorFunction[IRP_MJ_READ] = OnRead;
    NTSTATUS Status = IoCreateDevice(DriverObject, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    PIRP Irp = IoAllocateIrp(Device->StackSize, FALSE);
    if (Irp == NULL) {
        IoDeleteDevice(Device);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    IoGetNextIrpStackLocation(Irp)->MajorFunction = IRP_MJ_READ;
    IoSetCompletionRoutine(Irp, OnReadDone, NULL, TRUE, TRUE, TRUE);
    IoCallDriver(Device, Irp);
    return STATUS_SUCCESS;
}

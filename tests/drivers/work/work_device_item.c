/* work_device_item.c: a DPC hands work to a work item of the device, which runs at PASSIVE_LEVEL and frees itself.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KDPC Dpc;
static KEVENT Done;
static volatile KIRQL DpcIrql, WorkIrql;

static VOID Work(PVOID IoObject, PVOID Context, PIO_WORKITEM Item) {
    UNREFERENCED_PARAMETER(IoObject);
    UNREFERENCED_PARAMETER(Context);
    WorkIrql = KeGetCurrentIrql();
    IoFreeWorkItem(Item);
    KeSetEvent(&Done, IO_NO_INCREMENT, FALSE);
}

static VOID DpcRoutine(PKDPC DpcObject, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(DpcObject);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    DpcIrql = KeGetCurrentIrql();
    IoQueueWorkItemEx(Context, Work, DelayedWorkQueue, NULL);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(RegistryPath);
    PDEVICE_OBJECT Device;
    NTSTATUS Status = IoCreateDevice(DriverObject, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    PIO_WORKITEM Item = IoAllocateWorkItem(Device);
    if (Item == NULL) {
        IoDeleteDevice(Device);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    KeInitializeDpc(&Dpc, DpcRoutine, Item);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    IoDeleteDevice(Device);
    return DpcIrql == DISPATCH_LEVEL && WorkIrql == PASSIVE_LEVEL ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

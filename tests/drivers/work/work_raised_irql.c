/* work_raised_irql.c: a worker routine returns at DISPATCH_LEVEL.
 *
 * expect: bugcheck 0x000000E1 (driver, 2, driver, driver) in work_raised_irql
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static WORK_QUEUE_ITEM Item;
static KSPIN_LOCK Lock;

static VOID Routine(PVOID Parameter) {
    UNREFERENCED_PARAMETER(Parameter);
    KIRQL OldIrql;
    KeAcquireSpinLock(&Lock, &OldIrql);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSpinLock(&Lock);
    ExInitializeWorkItem(&Item, Routine, &Item);
    ExQueueWorkItem(&Item, DelayedWorkQueue);
    return STATUS_SUCCESS;
}

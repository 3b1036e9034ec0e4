/* work_queued_twice.c: a work item is queued while it is in the queue.
 *
 * expect: bugcheck 0x000000E4 (1, driver, driver, 0) in work_queued_twice
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static WORK_QUEUE_ITEM Item;
static volatile LONG IsQueued;

static VOID Routine(PVOID Parameter) {
    UNREFERENCED_PARAMETER(Parameter);
    InterlockedExchange(&IsQueued, 0);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExInitializeWorkItem(&Item, Routine, &Item);
    for (ULONG i = 0; i < 1000; i++) {
        ExQueueWorkItem(&Item, DelayedWorkQueue);
    }
    return STATUS_SUCCESS;
}

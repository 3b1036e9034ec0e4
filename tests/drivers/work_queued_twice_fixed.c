/* work_queued_twice_fixed.c: the routine that runs says that the item is free again.
 *
 * expect: completed
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
        if (InterlockedExchange(&IsQueued, 1) == 0) {
            ExQueueWorkItem(&Item, DelayedWorkQueue);
        }
    }
    return STATUS_SUCCESS;
}

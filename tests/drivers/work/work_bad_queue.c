/* work_bad_queue.c: a work item goes to a queue that there is not.
 *
 * expect: bugcheck 0x000000E4 (6, driver, 7, 0) in work_bad_queue
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static WORK_QUEUE_ITEM Item;

static VOID Routine(PVOID Parameter) {
    UNREFERENCED_PARAMETER(Parameter);
    DbgPrint("done\n");
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExInitializeWorkItem(&Item, Routine, &Item);
    ExQueueWorkItem(&Item, MaximumWorkQueue);
    return STATUS_SUCCESS;
}

/* work_critical_region.c: a worker routine returns in a critical region.
 *
 * expect: bugcheck 0x00000001 (driver, 0, 0xFFFF, 1) in work_critical_region
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static WORK_QUEUE_ITEM Item;

static VOID Routine(PVOID Parameter) {
    UNREFERENCED_PARAMETER(Parameter);
    KeEnterCriticalRegion();
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExInitializeWorkItem(&Item, Routine, &Item);
    ExQueueWorkItem(&Item, DelayedWorkQueue);
    return STATUS_SUCCESS;
}

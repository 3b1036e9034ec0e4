/* dpc_region.c: a DPC enters a critical region and does not leave it.
 *
 * expect: bugcheck 0x000000C7 (4, driver, 0, 0xFFFF) in dpc_region
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KDPC Dpc;

static VOID Routine(PKDPC DpcObject, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(DpcObject);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeEnterCriticalRegion();
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeDpc(&Dpc, Routine, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    return STATUS_SUCCESS;
}

/* page_data_at_dispatch.c: changes a variable of a pageable data section at DISPATCH_LEVEL.
 *
 * expect: bugcheck 0x000000D1 (driver, 2, 1, driver) in page_data_at_dispatch!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#pragma data_seg("PAGEDATA")
ULONG Pageable = 1;
#pragma data_seg()

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KIRQL OldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    Pageable++;
    KeLowerIrql(OldIrql);
    return STATUS_SUCCESS;
}

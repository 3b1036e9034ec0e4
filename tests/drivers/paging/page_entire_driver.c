/* page_entire_driver.c: makes all of itself pageable, and takes a spin lock in its own data.
 *
 * expect: bugcheck 0x000000D1 (driver, 2, *, driver) in page_entire_driver!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static volatile ULONG Counter;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KIRQL OldIrql;
    MmPageEntireDriver((PVOID)(ULONG_PTR)DriverEntry);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    Counter++;
    KeLowerIrql(OldIrql);
    return STATUS_SUCCESS;
}

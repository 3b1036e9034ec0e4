/* page_entire_driver_fixed.c: takes that back before.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static volatile ULONG Counter;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KIRQL OldIrql;
    MmPageEntireDriver((PVOID)(ULONG_PTR)DriverEntry);
    MmResetDriverPaging((PVOID)(ULONG_PTR)DriverEntry);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    Counter++;
    KeLowerIrql(OldIrql);
    return STATUS_SUCCESS;
}

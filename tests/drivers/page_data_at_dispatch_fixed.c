/* page_data_at_dispatch_fixed.c: the section is locked while the IRQL is raised.
 *
 * expect: completed
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
    PVOID Section = MmLockPagableDataSection(&Pageable);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    Pageable++;
    KeLowerIrql(OldIrql);
    MmUnlockPagableImageSection(Section);
    return STATUS_SUCCESS;
}

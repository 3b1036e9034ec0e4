/* fault_paged_at_dispatch.c: writes to untouched paged pool at DISPATCH_LEVEL.
 *
 * expect: bugcheck 0x000000D1 (paged, 2, 1, driver) in fault_paged_at_dispatch!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KIRQL OldIrql;
    PUCHAR Block = ExAllocatePoolWithTag(PagedPool, 2 * PAGE_SIZE, TAG);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    Block[PAGE_SIZE] = 1;
    KeLowerIrql(OldIrql);
    ExFreePoolWithTag(Block, TAG);
    return STATUS_SUCCESS;
}

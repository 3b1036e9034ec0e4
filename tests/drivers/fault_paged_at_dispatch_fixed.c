/* fault_paged_at_dispatch_fixed.c: the memory is nonpaged.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KIRQL OldIrql;
    PUCHAR Block = ExAllocatePoolWithTag(NonPagedPoolNx, 2 * PAGE_SIZE, TAG);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    Block[PAGE_SIZE] = 1;
    KeLowerIrql(OldIrql);
    ExFreePoolWithTag(Block, TAG);
    return STATUS_SUCCESS;
}

/* fault_kernel_at_dispatch_fixed.c: fills it before it raises the IRQL.
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
    PUCHAR Block = ExAllocatePoolWithTag(PagedPool, 2 * PAGE_SIZE, TAG);
    RtlZeroMemory(Block, 2 * PAGE_SIZE);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    KeLowerIrql(OldIrql);
    ExFreePoolWithTag(Block, TAG);
    return STATUS_SUCCESS;
}

/* fault_kernel_at_dispatch.c: has the kernel fill paged pool at DISPATCH_LEVEL: the instruction that faults is
 * the kernel's.
 *
 * expect: bugcheck 0x0000000A (paged, 2, 1, kernel)
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
    RtlZeroMemory(Block, 2 * PAGE_SIZE);
    KeLowerIrql(OldIrql);
    ExFreePoolWithTag(Block, TAG);
    return STATUS_SUCCESS;
}

/* pool_use_after_free_classic.c: the older call finds the same damage, and reports it as a free list that is
 * corrupt.
 *
 * expect: bugcheck 0x00000019 (3, nonpaged, 0x5555555555555555, 0x5555555555555555) in pool_use_after_free_classic!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KIRQL OldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    PUCHAR Block = ExAllocatePoolWithTag(NonPagedPoolNx, 200, TAG);
    ExFreePoolWithTag(Block, TAG);
    RtlFillMemory(Block, 200, 0x55);
    Block = ExAllocatePoolWithTag(NonPagedPoolNx, 200, TAG);
    KeLowerIrql(OldIrql);
    return STATUS_SUCCESS;
}

/* pool_use_after_free.c: writes to a block after it was freed: the next ExAllocatePool2 of that size finds it
 * changed.
 *
 * expect: bugcheck 0x0000013A (0x12, kernel, nonpaged, 0) in pool_use_after_free!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KIRQL OldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql); /* so that the next block comes from the same CPU */
    PUCHAR Block = ExAllocatePool2(POOL_FLAG_NON_PAGED, 200, TAG);
    ExFreePoolWithTag(Block, TAG);
    RtlFillMemory(Block, 200, 0x55);
    Block = ExAllocatePool2(POOL_FLAG_NON_PAGED, 200, TAG);
    KeLowerIrql(OldIrql);
    return STATUS_SUCCESS;
}

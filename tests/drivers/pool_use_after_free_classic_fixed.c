/* pool_use_after_free_classic_fixed.c: the pointer is not used after the free.
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
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    PUCHAR Block = ExAllocatePoolWithTag(NonPagedPoolNx, 200, TAG);
    if (Block != NULL) {
        RtlFillMemory(Block, 200, 0x55);
        ExFreePoolWithTag(Block, TAG);
    }
    KeLowerIrql(OldIrql);
    return STATUS_SUCCESS;
}

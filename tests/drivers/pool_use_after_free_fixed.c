/* pool_use_after_free_fixed.c: writes first, and frees then.
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
    for (ULONG i = 0; i < 100; i++) {
        PUCHAR Block = ExAllocatePool2(POOL_FLAG_NON_PAGED, 200, TAG);
        if (Block != NULL) {
            RtlFillMemory(Block, 200, 0x55);
            ExFreePoolWithTag(Block, TAG);
        }
    }
    KeLowerIrql(OldIrql);
    return STATUS_SUCCESS;
}

/* pool_use_after_free_loop_fixed.c: the write comes before the free.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    for (ULONG Round = 0; Round < 1000; Round++) {
        SIZE_T Bytes = 16 + Round % 60 * 16;
        PUCHAR Block = ExAllocatePool2(POOL_FLAG_PAGED, Bytes, TAG);
        if (Block != NULL) {
            RtlFillMemory(Block, Bytes, 0x55);
            ExFreePoolWithTag(Block, TAG);
        }
    }
    return STATUS_SUCCESS;
}

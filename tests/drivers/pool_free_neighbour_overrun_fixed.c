/* pool_free_neighbour_overrun_fixed.c: stays within the block.
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
        PUCHAR Block = ExAllocatePool2(POOL_FLAG_NON_PAGED, 1000, TAG);
        if (Block != NULL) {
            RtlFillMemory(Block, 1000, 0x55);
            ExFreePoolWithTag(Block, TAG);
        }
    }
    return STATUS_SUCCESS;
}

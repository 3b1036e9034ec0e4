/* pool_free_neighbour_overrun.c: writes past the end of a block into free memory, again and again, and never
 * frees: the allocator notices when it wants that memory.
 *
 * expect: bugcheck 0x0000013A (0x12, kernel, nonpaged, 0) in pool_free_neighbour_overrun!DriverEntry
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
            RtlFillMemory(Block, 1100, 0x55);
        }
    }
    return STATUS_SUCCESS;
}

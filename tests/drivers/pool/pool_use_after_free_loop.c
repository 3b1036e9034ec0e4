/* pool_use_after_free_loop.c: allocates, frees and then writes, round after round, in many sizes: sooner or later
 * the allocator meets what was written.
 *
 * expect: bugcheck 0x0000013A (0x12, kernel, *, 0) in pool_use_after_free_loop!DriverEntry
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
            ExFreePoolWithTag(Block, TAG);
            RtlFillMemory(Block, Bytes, 0x55);
        }
    }
    return STATUS_SUCCESS;
}

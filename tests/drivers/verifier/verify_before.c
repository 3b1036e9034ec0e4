/* verify_before.c: a write before the start of a block, found when the block is freed.
 *
 * expect: bugcheck 0x000000C1 (*, *, 0, 0x23) in verify_before!DriverEntry
 * run: --verifier=special-pool
 */
#include <ntddk.h>

#define TAG 'psFV'
#define BYTES 104

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    PUCHAR Block = ExAllocatePool2(POOL_FLAG_NON_PAGED, BYTES, TAG);
    if (Block == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    for (LONG i = BYTES - 1; i >= -1; i--) {
        ((volatile UCHAR *)Block)[i] = 0;
    }
    ExFreePoolWithTag(Block, TAG);
    return STATUS_SUCCESS;
}

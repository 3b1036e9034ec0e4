/* verify_tail.c: one byte too many without special pool: pool tracking looks behind the block when it is freed.
 *
 * expect: bugcheck 0x000000C4 (0x51, nonpaged, nonpaged, 104) in verify_tail!DriverEntry
 * run: --verifier=tracking
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
    Block[BYTES] = 1;
    ExFreePoolWithTag(Block, TAG);
    return STATUS_SUCCESS;
}

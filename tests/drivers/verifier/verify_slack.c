/* verify_slack.c: one byte too many, in the padding behind a block: no harm, and special pool sees it at the free.
 *
 * expect: bugcheck 0x000000C1 (*, *, 0, 0x24) in verify_slack!DriverEntry
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
    for (ULONG i = 0; i <= BYTES; i++) {
        Block[i] = 1;
    }
    ExFreePoolWithTag(Block, TAG);
    return STATUS_SUCCESS;
}

/* verify_tail_fixed.c: the last byte of the block is BYTES - 1.
 *
 * expect: completed
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
    Block[BYTES - 1] = 1;
    ExFreePoolWithTag(Block, TAG);
    return STATUS_SUCCESS;
}

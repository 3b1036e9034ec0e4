/* verify_freed.c: a read of a block after it was freed: the bytes are still there, but not with special pool.
 *
 * expect: bugcheck 0x000000D5 (*, 0, driver, 0) in verify_freed!DriverEntry
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
    ExFreePoolWithTag(Block, TAG);
    DbgPrint("first byte %u\n", *(volatile UCHAR *)Block);
    return STATUS_SUCCESS;
}

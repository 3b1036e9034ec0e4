/* verify_freed_fixed.c: first the read, then the free.
 *
 * expect: completed
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
    DbgPrint("first byte %u\n", *(volatile UCHAR *)Block);
    ExFreePoolWithTag(Block, TAG);
    return STATUS_SUCCESS;
}

/* verify_beyond.c: a read behind the end of a block: special pool stops it at the instruction.
 *
 * expect: bugcheck 0x000000D6 (*, 0, driver, 0) in verify_beyond!Sum
 * run: --verifier=special-pool
 */
#include <ntddk.h>

#define TAG 'psFV'
#define BYTES 104

DRIVER_INITIALIZE DriverEntry;

static ULONG Sum(const UCHAR *Bytes, ULONG Count) {
    ULONG Total = 0;
    for (ULONG i = 0; i < Count; i++) {
        Total += Bytes[i];
    }
    return Total;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    PUCHAR Block = ExAllocatePool2(POOL_FLAG_NON_PAGED, BYTES, TAG);
    if (Block == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    DbgPrint("sum %u\n", Sum(Block, 2 * BYTES));
    ExFreePoolWithTag(Block, TAG);
    return STATUS_SUCCESS;
}

/* verify_lowres.c: 200 allocations and no look at the result: some day one of them is NULL.
 *
 * expect: bugcheck 0x0000007E (0xFFFFFFFFC0000005, driver, *, *) in verify_lowres!DriverEntry
 * run: --verifier=lowres
 */
#include <ntddk.h>

#define TAG 'woLV'
#define BLOCKS 200

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    for (ULONG i = 0; i < BLOCKS; i++) {
        volatile ULONG *Block = ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG);
        *Block = i;
        ExFreePoolWithTag((PVOID)Block, TAG);
    }
    return STATUS_SUCCESS;
}

/* verify_lowres_fixed.c: each result is looked at.
 *
 * expect: completed
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
        if (Block == NULL) {
            continue;
        }
        *Block = i;
        ExFreePoolWithTag((PVOID)Block, TAG);
    }
    return STATUS_SUCCESS;
}

/* verify_leak.c: a driver goes and leaves a block of pool behind.
 *
 * expect: bugcheck 0x000000C4 (0x62, *, 0, 1)
 * run: --verifier=tracking --unload
 */
#include <ntddk.h>

#define TAG 'kaeL'

DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD Unload;

static PVOID Kept;

VOID Unload(PDRIVER_OBJECT Driver) {
    UNREFERENCED_PARAMETER(Driver);
    DbgPrint("the block at %p stays\n", Kept);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Path);
    Driver->DriverUnload = Unload;
    Kept = ExAllocatePool2(POOL_FLAG_PAGED, 100, TAG);
    return Kept == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
}

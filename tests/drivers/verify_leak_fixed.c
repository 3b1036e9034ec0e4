/* verify_leak_fixed.c: DriverUnload frees what DriverEntry allocated.
 *
 * expect: completed
 * run: --verifier=tracking --unload
 */
#include <ntddk.h>

#define TAG 'kaeL'

DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD Unload;

static PVOID Kept;

VOID Unload(PDRIVER_OBJECT Driver) {
    UNREFERENCED_PARAMETER(Driver);
    ExFreePoolWithTag(Kept, TAG);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Path);
    Driver->DriverUnload = Unload;
    Kept = ExAllocatePool2(POOL_FLAG_PAGED, 100, TAG);
    return Kept == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
}

/* verify_irql_fixed.c: the same under a spin lock, in nonpaged pool.
 *
 * expect: completed
 * run: --verifier=irql
 */
#include <ntddk.h>

#define TAG 'qrIV'

DRIVER_INITIALIZE DriverEntry;

static KSPIN_LOCK Lock;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    KIRQL OldIrql;
    PULONG Value = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof(ULONG), TAG);
    if (Value == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KeInitializeSpinLock(&Lock);
    *Value = 1; /* from here on the page is in memory */
    KeAcquireSpinLock(&Lock, &OldIrql);
    *Value = 2;
    KeReleaseSpinLock(&Lock, OldIrql);
    ExFreePoolWithTag(Value, TAG);
    return STATUS_SUCCESS;
}

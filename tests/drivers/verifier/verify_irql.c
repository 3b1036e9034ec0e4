/* verify_irql.c: paged memory under a spin lock, just touched and so resident: luck, which forced IRQL checking ends.
 *
 * expect: bugcheck 0x000000D1 (paged, 2, 1, driver) in verify_irql!DriverEntry
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
    PULONG Value = ExAllocatePool2(POOL_FLAG_PAGED, sizeof(ULONG), TAG);
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

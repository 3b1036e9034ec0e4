/* verify_order_fixed.c: one order everywhere.
 *
 * expect: completed
 * run: --verifier=deadlock
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KSPIN_LOCK LockA, LockB;

static VOID TakeBoth(PKSPIN_LOCK First, PKSPIN_LOCK Second) {
    KIRQL OldIrql;
    KeAcquireSpinLock(First, &OldIrql);
    KeAcquireSpinLockAtDpcLevel(Second);
    KeReleaseSpinLockFromDpcLevel(Second);
    KeReleaseSpinLock(First, OldIrql);
}

static VOID Reader(VOID) {
    TakeBoth(&LockA, &LockB);
}

static VOID Writer(VOID) {
    TakeBoth(&LockA, &LockB);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    KeInitializeSpinLock(&LockA);
    KeInitializeSpinLock(&LockB);
    Reader();
    Writer(); /* not at the same time: nothing can happen today */
    return STATUS_SUCCESS;
}

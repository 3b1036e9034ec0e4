/* verify_order.c: two spin locks in two orders, one after the other on one thread: a deadlock that has not happened yet.
 *
 * expect: bugcheck 0x000000C4 (0x1001, driver, 0, 0) in verify_order!TakeBoth
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
    TakeBoth(&LockB, &LockA);
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

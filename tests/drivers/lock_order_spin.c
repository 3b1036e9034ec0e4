/* lock_order_spin.c: two CPUs take two spin locks in two orders, and spin for each other.
 *
 * expect: bugcheck 0x00000133 (1, *, *, *) in lock_order_spin
 * repaired: lock_order_spin_fixed.c
 * run: --cpus 2
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static KSPIN_LOCK LockA, LockB;

static NTSTATUS StartThread(PKSTART_ROUTINE Routine) {
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Routine, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

static VOID Sleep(LONG Milliseconds) {
    LARGE_INTEGER Interval;
    Interval.QuadPart = -10000LL * Milliseconds;
    KeDelayExecutionThread(KernelMode, FALSE, &Interval);
}

static VOID First(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KIRQL OldIrql;
    KeSetSystemAffinityThread(1);
    Sleep(20);
    KeAcquireSpinLock(&LockA, &OldIrql);
    KeStallExecutionProcessor(2000);
    KeAcquireSpinLockAtDpcLevel(&LockB);
    KeReleaseSpinLockFromDpcLevel(&LockB);
    KeReleaseSpinLock(&LockA, OldIrql);
}

static VOID Second(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KIRQL OldIrql;
    KeSetSystemAffinityThread(2);
    Sleep(20);
    KeAcquireSpinLock(&LockB, &OldIrql);
    KeStallExecutionProcessor(2000);
    KeAcquireSpinLockAtDpcLevel(&LockA);
    KeReleaseSpinLockFromDpcLevel(&LockA);
    KeReleaseSpinLock(&LockB, OldIrql);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    KeInitializeSpinLock(&LockA);
    KeInitializeSpinLock(&LockB);
    NTSTATUS Status = StartThread(First);
    return NT_SUCCESS(Status) ? StartThread(Second) : Status;
}

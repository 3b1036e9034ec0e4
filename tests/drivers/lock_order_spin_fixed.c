/* lock_order_spin_fixed.c: lock_order_spin.c repaired: both CPUs take A before B.
 *
 * expect: completed
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
    KeAcquireSpinLock(&LockA, &OldIrql);
    KeStallExecutionProcessor(2000);
    KeAcquireSpinLockAtDpcLevel(&LockB);
    KeReleaseSpinLockFromDpcLevel(&LockB);
    KeReleaseSpinLock(&LockA, OldIrql);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    KeInitializeSpinLock(&LockA);
    KeInitializeSpinLock(&LockB);
    NTSTATUS Status = StartThread(First);
    return NT_SUCCESS(Status) ? StartThread(Second) : Status;
}

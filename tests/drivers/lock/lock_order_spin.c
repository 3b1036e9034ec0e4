/* lock_order_spin.c: two CPUs take two spin locks in two orders, and spin for each other.
 *
 * expect: bugcheck 0x00000133 (1, *, *, *) in lock_order_spin
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

/* Each goes on when both have their first lock: the schedule that a machine finds one day. */
static VOID Meet(VOID) {
    static volatile LONG Holding;
    InterlockedIncrement(&Holding);
    while (Holding < 2) {
        YieldProcessor();
    }
}

static VOID First(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KIRQL OldIrql;
    KeSetSystemAffinityThread(1);
    KeAcquireSpinLock(&LockA, &OldIrql);
    Meet();
    KeAcquireSpinLockAtDpcLevel(&LockB);
    KeReleaseSpinLockFromDpcLevel(&LockB);
    KeReleaseSpinLock(&LockA, OldIrql);
}

static VOID Second(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KIRQL OldIrql;
    KeSetSystemAffinityThread(2);
    KeAcquireSpinLock(&LockB, &OldIrql);
    Meet();
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

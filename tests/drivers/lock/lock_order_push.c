/* lock_order_push.c: two threads acquire two locks (push lock) in two orders, and each has one when it wants the
 * other.
 *
 * expect: deadlock push lock (exclusive)
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static EX_PUSH_LOCK LockA, LockB;

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
    LARGE_INTEGER Interval = {.QuadPart = -10000LL};
    InterlockedIncrement(&Holding);
    while (Holding < 2) {
        KeDelayExecutionThread(KernelMode, FALSE, &Interval);
    }
}

static VOID First(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeEnterCriticalRegion();
    ExAcquirePushLockExclusive(&LockA);
    Meet();
    ExAcquirePushLockExclusive(&LockB);
    ExReleasePushLockExclusive(&LockB);
    ExReleasePushLockExclusive(&LockA);
    KeLeaveCriticalRegion();
}

static VOID Second(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeEnterCriticalRegion();
    ExAcquirePushLockExclusive(&LockB);
    Meet();
    ExAcquirePushLockExclusive(&LockA);
    ExReleasePushLockExclusive(&LockA);
    ExReleasePushLockExclusive(&LockB);
    KeLeaveCriticalRegion();
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    ExInitializePushLock(&LockA);
    ExInitializePushLock(&LockB);
    NTSTATUS Status = StartThread(First);
    return NT_SUCCESS(Status) ? StartThread(Second) : Status;
}

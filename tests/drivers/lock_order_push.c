/* lock_order_push.c: two threads acquire two locks (push lock) in two orders, and each has one when it wants the
 * other.
 *
 * expect: deadlock push lock (exclusive)
 * repaired: lock_order_push_fixed.c
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

static VOID Sleep(LONG Milliseconds) {
    LARGE_INTEGER Interval;
    Interval.QuadPart = -10000LL * Milliseconds;
    KeDelayExecutionThread(KernelMode, FALSE, &Interval);
}

static VOID First(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeEnterCriticalRegion();
    ExAcquirePushLockExclusive(&LockA);
    Sleep(50);
    ExAcquirePushLockExclusive(&LockB);
    ExReleasePushLockExclusive(&LockB);
    ExReleasePushLockExclusive(&LockA);
    KeLeaveCriticalRegion();
}

static VOID Second(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeEnterCriticalRegion();
    ExAcquirePushLockExclusive(&LockB);
    Sleep(50);
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

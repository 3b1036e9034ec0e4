/* lock_order_guarded_fixed.c: lock_order_guarded.c repaired: both threads acquire A before B.
 *
 * expect: completed
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static KGUARDED_MUTEX LockA, LockB;

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
    KeAcquireGuardedMutex(&LockA);
    Sleep(50);
    KeAcquireGuardedMutex(&LockB);
    KeReleaseGuardedMutex(&LockB);
    KeReleaseGuardedMutex(&LockA);
}

static VOID Second(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeAcquireGuardedMutex(&LockA);
    Sleep(50);
    KeAcquireGuardedMutex(&LockB);
    KeReleaseGuardedMutex(&LockB);
    KeReleaseGuardedMutex(&LockA);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    KeInitializeGuardedMutex(&LockA);
    KeInitializeGuardedMutex(&LockB);
    NTSTATUS Status = StartThread(First);
    return NT_SUCCESS(Status) ? StartThread(Second) : Status;
}

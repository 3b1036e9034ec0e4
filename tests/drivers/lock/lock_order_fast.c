/* lock_order_fast.c: two threads acquire two locks (fast mutex) in two orders, and each has one when it wants the
 * other.
 *
 * expect: deadlock fast mutex
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static FAST_MUTEX LockA, LockB;

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
    ExAcquireFastMutex(&LockA);
    Meet();
    ExAcquireFastMutex(&LockB);
    ExReleaseFastMutex(&LockB);
    ExReleaseFastMutex(&LockA);
}

static VOID Second(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    ExAcquireFastMutex(&LockB);
    Meet();
    ExAcquireFastMutex(&LockA);
    ExReleaseFastMutex(&LockA);
    ExReleaseFastMutex(&LockB);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    ExInitializeFastMutex(&LockA);
    ExInitializeFastMutex(&LockB);
    NTSTATUS Status = StartThread(First);
    return NT_SUCCESS(Status) ? StartThread(Second) : Status;
}

/* lock_order_mutex.c: two threads acquire two locks (mutex) in two orders, and each has one when it wants the other.
 *
 * expect: deadlock KMUTEX
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static KMUTEX LockA, LockB;

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
    KeWaitForSingleObject(&LockA, Executive, KernelMode, FALSE, NULL);
    Meet();
    KeWaitForSingleObject(&LockB, Executive, KernelMode, FALSE, NULL);
    KeReleaseMutex(&LockB, FALSE);
    KeReleaseMutex(&LockA, FALSE);
}

static VOID Second(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&LockB, Executive, KernelMode, FALSE, NULL);
    Meet();
    KeWaitForSingleObject(&LockA, Executive, KernelMode, FALSE, NULL);
    KeReleaseMutex(&LockA, FALSE);
    KeReleaseMutex(&LockB, FALSE);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    KeInitializeMutex(&LockA, 0);
    KeInitializeMutex(&LockB, 0);
    NTSTATUS Status = StartThread(First);
    return NT_SUCCESS(Status) ? StartThread(Second) : Status;
}

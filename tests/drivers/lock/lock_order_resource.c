/* lock_order_resource.c: two threads acquire two locks (resource) in two orders, and each has one when it wants the
 * other.
 *
 * expect: deadlock resource (exclusive)
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static ERESOURCE LockA, LockB;

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
    ExAcquireResourceExclusiveLite(&LockA, TRUE);
    Meet();
    ExAcquireResourceExclusiveLite(&LockB, TRUE);
    ExReleaseResourceLite(&LockB);
    ExReleaseResourceLite(&LockA);
    KeLeaveCriticalRegion();
}

static VOID Second(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&LockB, TRUE);
    Meet();
    ExAcquireResourceExclusiveLite(&LockA, TRUE);
    ExReleaseResourceLite(&LockA);
    ExReleaseResourceLite(&LockB);
    KeLeaveCriticalRegion();
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    ExInitializeResourceLite(&LockA);
    ExInitializeResourceLite(&LockB);
    NTSTATUS Status = StartThread(First);
    return NT_SUCCESS(Status) ? StartThread(Second) : Status;
}

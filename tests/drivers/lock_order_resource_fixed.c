/* lock_order_resource_fixed.c: lock_order_resource.c repaired: both threads acquire A before B.
 *
 * expect: completed
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

static VOID Sleep(LONG Milliseconds) {
    LARGE_INTEGER Interval;
    Interval.QuadPart = -10000LL * Milliseconds;
    KeDelayExecutionThread(KernelMode, FALSE, &Interval);
}

static VOID First(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&LockA, TRUE);
    Sleep(50);
    ExAcquireResourceExclusiveLite(&LockB, TRUE);
    ExReleaseResourceLite(&LockB);
    ExReleaseResourceLite(&LockA);
    KeLeaveCriticalRegion();
}

static VOID Second(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&LockA, TRUE);
    Sleep(50);
    ExAcquireResourceExclusiveLite(&LockB, TRUE);
    ExReleaseResourceLite(&LockB);
    ExReleaseResourceLite(&LockA);
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

/* lock_leak_resource_early.c: a thread has long ended as the owner of a resource when another one begins to wait for
 * it.
 *
 * expect: deadlock resource (exclusive)
 * repaired: lock_leak_resource.fix
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static ERESOURCE Lock;
static KEVENT HasEnded;

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
    ExAcquireResourceExclusiveLite(&Lock, TRUE);
    KeLeaveCriticalRegion();
    KeSetEvent(&HasEnded, IO_NO_INCREMENT, FALSE);
}

static VOID Second(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&HasEnded, Executive, KernelMode, FALSE, NULL);
    Sleep(200);
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&Lock, TRUE);
    ExReleaseResourceLite(&Lock);
    KeLeaveCriticalRegion();
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    ExInitializeResourceLite(&Lock);
    KeInitializeEvent(&HasEnded, NotificationEvent, FALSE);
    /* Second is made first: made behind the end of First it may get its KTHREAD, and own the resource by mistake. */
    NTSTATUS Status = StartThread(Second);
    return NT_SUCCESS(Status) ? StartThread(First) : Status;
}

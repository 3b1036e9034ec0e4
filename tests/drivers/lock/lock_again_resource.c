/* lock_again_resource.c: a reader comes again behind a waiting writer (ExAcquireSharedWaitForExclusive), which waits
 * for the reader.
 *
 * expect: deadlock resource (shared)
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static ERESOURCE Lock;
static KEVENT IsShared;

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
    ExAcquireResourceSharedLite(&Lock, TRUE);
    KeSetEvent(&IsShared, IO_NO_INCREMENT, FALSE);
    Sleep(100);
    ExAcquireSharedWaitForExclusive(&Lock, TRUE);
    ExReleaseResourceLite(&Lock);
    ExReleaseResourceLite(&Lock);
    KeLeaveCriticalRegion();
}

static VOID Second(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&IsShared, Executive, KernelMode, FALSE, NULL);
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&Lock, TRUE);
    ExReleaseResourceLite(&Lock);
    KeLeaveCriticalRegion();
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    ExInitializeResourceLite(&Lock);
    KeInitializeEvent(&IsShared, NotificationEvent, FALSE);
    NTSTATUS Status = StartThread(First);
    return NT_SUCCESS(Status) ? StartThread(Second) : Status;
}

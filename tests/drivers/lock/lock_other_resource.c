/* lock_other_resource.c: the wrong thread releases a resource and is believed; the owner, who is right, is caught
 * when it does.
 *
 * expect: bugcheck 0x000000E3 (driver, thread, 0, 2) in lock_other_resource!First
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static ERESOURCE Lock;
static KEVENT IsOwned, IsDone;

static NTSTATUS StartThread(PKSTART_ROUTINE Routine) {
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Routine, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

static VOID First(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&Lock, TRUE);
    KeSetEvent(&IsOwned, IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(&IsDone, Executive, KernelMode, FALSE, NULL);
    ExReleaseResourceLite(&Lock);
    KeLeaveCriticalRegion();
}

static VOID Second(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&IsOwned, Executive, KernelMode, FALSE, NULL);
    ExReleaseResourceLite(&Lock);
    KeSetEvent(&IsDone, IO_NO_INCREMENT, FALSE);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    ExInitializeResourceLite(&Lock);
    KeInitializeEvent(&IsOwned, NotificationEvent, FALSE);
    KeInitializeEvent(&IsDone, NotificationEvent, FALSE);
    NTSTATUS Status = StartThread(First);
    return NT_SUCCESS(Status) ? StartThread(Second) : Status;
}

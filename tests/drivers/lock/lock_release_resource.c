/* lock_release_resource.c: a thread releases a resource that was never acquired.
 *
 * expect: bugcheck 0x000000E3 (driver, thread, 0, 2) in lock_release_resource!Worker
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static ERESOURCE Lock;

static NTSTATUS StartThread(PKSTART_ROUTINE Routine) {
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Routine, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

static VOID Worker(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeEnterCriticalRegion();
    ExReleaseResourceLite(&Lock);
    KeLeaveCriticalRegion();
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    ExInitializeResourceLite(&Lock);
    return StartThread(Worker);
}

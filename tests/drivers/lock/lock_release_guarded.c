/* lock_release_guarded.c: a thread releases a guarded mutex that was never acquired.
 *
 * expect: bugcheck 0x00000162 (thread, driver, 0xFFFFFFFF, 0) in lock_release_guarded!Worker
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static KGUARDED_MUTEX Lock;

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
    KeReleaseGuardedMutex(&Lock);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    KeInitializeGuardedMutex(&Lock);
    return StartThread(Worker);
}

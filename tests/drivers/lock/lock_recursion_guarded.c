/* lock_recursion_guarded.c: a thread acquires its guarded mutex again, and waits for itself.
 *
 * expect: deadlock guarded mutex
 * repaired: lock_recursion_mutex.c
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
    KeAcquireGuardedMutex(&Lock);
    KeAcquireGuardedMutex(&Lock);
    KeReleaseGuardedMutex(&Lock);
    KeReleaseGuardedMutex(&Lock);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    KeInitializeGuardedMutex(&Lock);
    return StartThread(Worker);
}

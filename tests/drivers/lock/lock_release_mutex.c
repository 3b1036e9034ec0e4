/* lock_release_mutex.c: a thread releases a mutex that was never acquired.
 *
 * expect: bugcheck 0x0000007E (0xFFFFFFFFC0000046, *, *, *) in lock_release_mutex!Worker
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static KMUTEX Lock;

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
    KeReleaseMutex(&Lock, FALSE);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    KeInitializeMutex(&Lock, 0);
    return StartThread(Worker);
}

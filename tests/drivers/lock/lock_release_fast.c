/* lock_release_fast.c: a thread releases a fast mutex that was never acquired.
 *
 * expect: bugcheck 0x00000162 (thread, driver, 0xFFFFFFFF, 0) in lock_release_fast!Worker
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static FAST_MUTEX Lock;

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
    ExReleaseFastMutex(&Lock);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    ExInitializeFastMutex(&Lock);
    return StartThread(Worker);
}

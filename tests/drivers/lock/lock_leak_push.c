/* lock_leak_push.c: a thread leaves its critical region and returns, and still owns a push lock.
 *
 * expect: bugcheck 0x00000153 (thread, *, 1, driver) in lock_leak_push
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static EX_PUSH_LOCK Lock;

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
    ExAcquirePushLockExclusive(&Lock);
    DbgPrint("it is mine\n");
    KeLeaveCriticalRegion();
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    ExInitializePushLock(&Lock);
    return StartThread(Worker);
}

/* lock_leak_fast.c: a thread returns while it owns a fast mutex, so at APC_LEVEL.
 *
 * expect: bugcheck 0x00000020 (0, 0, 1, 1) in lock_leak_fast
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
    ExAcquireFastMutex(&Lock);
    DbgPrint("it is mine\n");
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    ExInitializeFastMutex(&Lock);
    return StartThread(Worker);
}

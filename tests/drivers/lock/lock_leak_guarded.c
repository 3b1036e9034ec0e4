/* lock_leak_guarded.c: a thread returns while it owns a guarded mutex, so at APC_LEVEL.
 *
 * expect: bugcheck 0x00000020 (0, 0, 1, 1) in lock_leak_guarded
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
    DbgPrint("it is mine\n");
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    KeInitializeGuardedMutex(&Lock);
    return StartThread(Worker);
}

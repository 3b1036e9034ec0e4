/* lock_leak_mutex.c: a thread returns while it owns a KMUTEX.
 *
 * expect: bugcheck 0x00000020 (0, 0xFFFF, 0, 1) in lock_leak_mutex
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
    KeWaitForSingleObject(&Lock, Executive, KernelMode, FALSE, NULL);
    DbgPrint("it is mine\n");
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    KeInitializeMutex(&Lock, 0);
    return StartThread(Worker);
}

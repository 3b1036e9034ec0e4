/* lock_recursion_mutex.c: a thread acquires its mutex again, and releases it as often: that is allowed.
 *
 * expect: completed
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
    KeWaitForSingleObject(&Lock, Executive, KernelMode, FALSE, NULL);
    KeReleaseMutex(&Lock, FALSE);
    KeReleaseMutex(&Lock, FALSE);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    KeInitializeMutex(&Lock, 0);
    return StartThread(Worker);
}

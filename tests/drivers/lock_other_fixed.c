/* lock_other_fixed.c: what one thread takes and another gives back is a semaphore, which has no owner.
 *
 * expect: completed
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static KSEMAPHORE Lock;
static KEVENT IsOwned;

static NTSTATUS StartThread(PKSTART_ROUTINE Routine) {
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Routine, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

static VOID First(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&Lock, Executive, KernelMode, FALSE, NULL);
    KeSetEvent(&IsOwned, IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(&Lock, Executive, KernelMode, FALSE, NULL);
}

static VOID Second(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&IsOwned, Executive, KernelMode, FALSE, NULL);
    KeReleaseSemaphore(&Lock, IO_NO_INCREMENT, 1, FALSE);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    KeInitializeSemaphore(&Lock, 1, 1);
    KeInitializeEvent(&IsOwned, NotificationEvent, FALSE);
    NTSTATUS Status = StartThread(First);
    return NT_SUCCESS(Status) ? StartThread(Second) : Status;
}

/* lock_other_mutex.c: one thread acquires a mutex, another one releases it.
 *
 * expect: bugcheck 0x0000007E (0xFFFFFFFFC0000046, *, *, *) in lock_other_mutex!Second
 * repaired: lock_other_fast.fix
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static KMUTEX Lock;
static KEVENT IsOwned, IsDone;

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
    KeWaitForSingleObject(&IsDone, Executive, KernelMode, FALSE, NULL);
}

static VOID Second(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&IsOwned, Executive, KernelMode, FALSE, NULL);
    KeReleaseMutex(&Lock, FALSE);
    KeSetEvent(&IsDone, IO_NO_INCREMENT, FALSE);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    KeInitializeMutex(&Lock, 0);
    KeInitializeEvent(&IsOwned, NotificationEvent, FALSE);
    KeInitializeEvent(&IsDone, NotificationEvent, FALSE);
    NTSTATUS Status = StartThread(First);
    return NT_SUCCESS(Status) ? StartThread(Second) : Status;
}

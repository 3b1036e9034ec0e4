/* lock_other_push.c: one thread acquires a push lock, another one releases it.
 *
 * expect: bugcheck 0x00000162 (thread, driver, 0xFFFFFFFF, 0) in lock_other_push!Second
 * repaired: lock_other_fast.fix
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static EX_PUSH_LOCK Lock;
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
    KeEnterCriticalRegion();
    ExAcquirePushLockExclusive(&Lock);
    KeSetEvent(&IsOwned, IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(&IsDone, Executive, KernelMode, FALSE, NULL);
    KeLeaveCriticalRegion();
}

static VOID Second(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&IsOwned, Executive, KernelMode, FALSE, NULL);
    KeEnterCriticalRegion();
    ExReleasePushLockExclusive(&Lock);
    KeLeaveCriticalRegion();
    KeSetEvent(&IsDone, IO_NO_INCREMENT, FALSE);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    ExInitializePushLock(&Lock);
    KeInitializeEvent(&IsOwned, NotificationEvent, FALSE);
    KeInitializeEvent(&IsDone, NotificationEvent, FALSE);
    NTSTATUS Status = StartThread(First);
    return NT_SUCCESS(Status) ? StartThread(Second) : Status;
}

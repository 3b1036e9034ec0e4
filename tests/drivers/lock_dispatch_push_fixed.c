/* lock_dispatch_push_fixed.c: lock_dispatch_push.c repaired: the lock that may wait comes first.
 *
 * expect: completed
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static EX_PUSH_LOCK Lock;
static KSPIN_LOCK Outer;

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
    KIRQL OldIrql;
    KeEnterCriticalRegion();
    ExAcquirePushLockExclusive(&Lock);
    KeAcquireSpinLock(&Outer, &OldIrql);
    KeReleaseSpinLock(&Outer, OldIrql);
    ExReleasePushLockExclusive(&Lock);
    KeLeaveCriticalRegion();
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    KeInitializeSpinLock(&Outer);
    ExInitializePushLock(&Lock);
    return StartThread(Worker);
}

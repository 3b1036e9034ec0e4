/* lock_upgrade_spin.c: a reader of a reader/writer spin lock acquires it for writing, and spins until it has left
 * itself.
 *
 * expect: bugcheck 0x00000133 (1, *, *, *) in lock_upgrade_spin!Worker
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static EX_SPIN_LOCK Lock;

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
    KIRQL OldIrql = ExAcquireSpinLockShared(&Lock);
    ExAcquireSpinLockExclusiveAtDpcLevel(&Lock);
    ExReleaseSpinLockExclusiveFromDpcLevel(&Lock);
    ExReleaseSpinLockShared(&Lock, OldIrql);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    Lock = 0;
    return StartThread(Worker);
}

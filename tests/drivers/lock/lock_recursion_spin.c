/* lock_recursion_spin.c: a thread acquires the spin lock that it holds, and spins forever at DISPATCH_LEVEL.
 *
 * expect: bugcheck 0x00000133 (1, *, *, *) in lock_recursion_spin!Worker
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static KSPIN_LOCK Lock;

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
    KeAcquireSpinLock(&Lock, &OldIrql);
    KeAcquireSpinLockAtDpcLevel(&Lock);
    KeReleaseSpinLockFromDpcLevel(&Lock);
    KeReleaseSpinLock(&Lock, OldIrql);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    KeInitializeSpinLock(&Lock);
    return StartThread(Worker);
}

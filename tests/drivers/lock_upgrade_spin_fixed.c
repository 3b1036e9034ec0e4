/* lock_upgrade_spin_fixed.c: lock_upgrade_spin.c repaired: the conversion is tried, and given up while there are
 * other readers.
 *
 * expect: completed
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
    if (ExTryConvertSharedSpinLockExclusive(&Lock)) {
        ExReleaseSpinLockExclusive(&Lock, OldIrql);
    } else {
        ExReleaseSpinLockShared(&Lock, OldIrql);
    }
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    Lock = 0;
    return StartThread(Worker);
}

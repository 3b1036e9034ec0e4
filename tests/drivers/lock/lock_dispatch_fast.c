/* lock_dispatch_fast.c: a fast mutex is acquired under a spin lock, at DISPATCH_LEVEL, where no code may wait.
 *
 * expect: bugcheck 0x00000192 (thread, driver, 2, 0) in lock_dispatch_fast!Worker
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static FAST_MUTEX Lock;
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
    KeAcquireSpinLock(&Outer, &OldIrql);
    ExAcquireFastMutex(&Lock);
    ExReleaseFastMutex(&Lock);
    KeReleaseSpinLock(&Outer, OldIrql);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    KeInitializeSpinLock(&Outer);
    ExInitializeFastMutex(&Lock);
    return StartThread(Worker);
}

/* lock_spin_uninitialised.c: a spin lock on the stack is acquired as it lies there: what was there before says that
 * it is held.
 *
 * expect: bugcheck 0x00000133 (1, *, *, *) in lock_spin_uninitialised!UseLock
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static NTSTATUS StartThread(PKSTART_ROUTINE Routine) {
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Routine, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

/* Leaves something behind on the stack, as other calls do. */
static VOID UseStack(VOID) {
    volatile UCHAR Bytes[512];
    for (ULONG i = 0; i < sizeof(Bytes); i++) {
        Bytes[i] = 0xFF;
    }
}

static VOID UseLock(VOID) {
    KSPIN_LOCK Lock;
    UCHAR Rest[256];
    KIRQL OldIrql;
    KeAcquireSpinLock(&Lock, &OldIrql);
    RtlZeroMemory(Rest, sizeof(Rest));
    KeReleaseSpinLock(&Lock, OldIrql);
}

static VOID Worker(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    UseStack();
    UseLock();
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    return StartThread(Worker);
}

/* lock_release_spin.c: a spin lock that is not held is released: the word is 0 before and after, and nothing notices.
 *
 * expect: completed
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
    KeReleaseSpinLock(&Lock, PASSIVE_LEVEL);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    KeInitializeSpinLock(&Lock);
    return StartThread(Worker);
}

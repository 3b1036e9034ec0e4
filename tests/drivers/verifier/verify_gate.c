/* verify_gate.c: two orders of two locks, but always under a third: no deadlock, and the verifier knows it.
 *
 * expect: completed
 * run: --verifier=deadlock
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KMUTEX Gate, A, B;

static VOID Take(PKMUTEX Mutex) {
    KeWaitForSingleObject(Mutex, Executive, KernelMode, FALSE, NULL);
}

static VOID TakeBoth(PKMUTEX First, PKMUTEX Second) {
    Take(&Gate);
    Take(First);
    Take(Second);
    KeReleaseMutex(Second, FALSE);
    KeReleaseMutex(First, FALSE);
    KeReleaseMutex(&Gate, FALSE);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    KeInitializeMutex(&Gate, 0);
    KeInitializeMutex(&A, 0);
    KeInitializeMutex(&B, 0);
    TakeBoth(&A, &B);
    TakeBoth(&B, &A);
    return STATUS_SUCCESS;
}

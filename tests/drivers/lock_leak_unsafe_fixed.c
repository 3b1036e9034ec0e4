/* lock_leak_unsafe_fixed.c: lock_leak_unsafe.c repaired: the mutex is released before the region is left.
 *
 * expect: completed
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static FAST_MUTEX Lock;

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
    KeEnterCriticalRegion();
    ExAcquireFastMutexUnsafe(&Lock);
    ExReleaseFastMutexUnsafe(&Lock);
    KeLeaveCriticalRegion();
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    ExInitializeFastMutex(&Lock);
    return StartThread(Worker);
}

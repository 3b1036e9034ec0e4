/* mutex_order_fixed.c: both threads take the first mutex first.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KMUTEX First, Second;

static VOID Take(PKMUTEX Mutex) {
    KeWaitForSingleObject(Mutex, Executive, KernelMode, FALSE, NULL);
}

static VOID One(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    Take(&First);
    Take(&Second);
    KeReleaseMutex(&Second, FALSE);
    KeReleaseMutex(&First, FALSE);
}

static VOID Other(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    Take(&First);
    Take(&Second);
    KeReleaseMutex(&Second, FALSE);
    KeReleaseMutex(&First, FALSE);
}

static NTSTATUS Start(PKSTART_ROUTINE Routine) {
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Routine, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeMutex(&First, 0);
    KeInitializeMutex(&Second, 0);
    NTSTATUS Status = Start(One);
    return NT_SUCCESS(Status) ? Start(Other) : Status;
}

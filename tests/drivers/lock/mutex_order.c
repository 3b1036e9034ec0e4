/* mutex_order.c: two threads take two mutexes in opposite order.
 *
 * expect: deadlock waits for KMUTEX
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KMUTEX First, Second;
static KEVENT OneHasFirst, OtherHasSecond;

static VOID Take(PKMUTEX Mutex) {
    KeWaitForSingleObject(Mutex, Executive, KernelMode, FALSE, NULL);
}

static VOID One(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    Take(&First);
    KeSetEvent(&OneHasFirst, IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(&OtherHasSecond, Executive, KernelMode, FALSE, NULL);
    Take(&Second);
    KeReleaseMutex(&Second, FALSE);
    KeReleaseMutex(&First, FALSE);
}

static VOID Other(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    Take(&Second);
    KeSetEvent(&OtherHasSecond, IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(&OneHasFirst, Executive, KernelMode, FALSE, NULL);
    Take(&First);
    KeReleaseMutex(&First, FALSE);
    KeReleaseMutex(&Second, FALSE);
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
    KeInitializeEvent(&OneHasFirst, NotificationEvent, FALSE);
    KeInitializeEvent(&OtherHasSecond, NotificationEvent, FALSE);
    NTSTATUS Status = Start(One);
    return NT_SUCCESS(Status) ? Start(Other) : Status;
}

/* mutex_not_owned.c: a thread releases a KMUTEX that another one owns.
 *
 * expect: bugcheck 0x0000007E (0xFFFFFFFFC0000046, kernel, stack, stack) in mutex_not_owned
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KMUTEX Mutex;

static VOID Worker(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeReleaseMutex(&Mutex, FALSE);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeMutex(&Mutex, 0);
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

/* semaphore_limit.c: a semaphore is released above its limit.
 *
 * expect: bugcheck 0x0000007E (0xFFFFFFFFC0000047, kernel, stack, stack) in semaphore_limit
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KSEMAPHORE Permits;

static VOID Worker(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeReleaseSemaphore(&Permits, IO_NO_INCREMENT, 1, FALSE);
    KeReleaseSemaphore(&Permits, IO_NO_INCREMENT, 1, FALSE);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSemaphore(&Permits, 0, 1);
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

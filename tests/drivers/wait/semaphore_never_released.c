/* semaphore_never_released.c: a thread waits for the third of two permits.
 *
 * expect: deadlock waits for semaphore
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KSEMAPHORE Permits;

static VOID Worker(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    for (ULONG i = 0; i < 3; i++) {
        KeWaitForSingleObject(&Permits, Executive, KernelMode, FALSE, NULL);
    }
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSemaphore(&Permits, 2, 2);
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

/* mutex_balanced.c: a thread ends with a KMUTEX after it has balanced the APC-disable count by hand.
 *
 * expect: bugcheck 0x4000008A (thread, driver, 0, 0) in mutex_balanced
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KMUTEX Mutex;

static VOID Worker(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, NULL);
    KeLeaveCriticalRegion();
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

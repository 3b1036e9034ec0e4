/* mutex_leak.c: a thread returns while it owns a KMUTEX.
 *
 * expect: bugcheck 0x00000020 (0, 0xFFFF, 0, 1) in mutex_leak
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KMUTEX Mutex;

static VOID Worker(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, NULL);
    DbgPrint("the thread has the mutex and ends\n");
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

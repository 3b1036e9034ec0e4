/* thread_waits_for_itself.c: a thread waits for its own end.
 *
 * expect: deadlock waits for the end of thread
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static VOID Worker(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(KeGetCurrentThread(), Executive, KernelMode, FALSE, NULL);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

/* event_lost.c: an event is cleared after it was set and before anyone has waited: the wake-up is lost.
 *
 * expect: deadlock waits for notification event
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KEVENT Done;

static VOID Worker(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    HANDLE Handle;
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    KeSetEvent(&Done, IO_NO_INCREMENT, FALSE);
    KeClearEvent(&Done);
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

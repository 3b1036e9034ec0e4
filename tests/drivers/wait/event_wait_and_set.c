/* event_wait_and_set.c: KeSetEvent with Wait = TRUE returns at DISPATCH_LEVEL, and the wait that follows goes back.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KEVENT Ask, Answer;

static VOID Worker(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    for (ULONG i = 0; i < 10; i++) {
        KeWaitForSingleObject(&Ask, Executive, KernelMode, FALSE, NULL);
        KeSetEvent(&Answer, IO_NO_INCREMENT, FALSE);
    }
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    HANDLE Handle;
    KeInitializeEvent(&Ask, SynchronizationEvent, FALSE);
    KeInitializeEvent(&Answer, SynchronizationEvent, FALSE);
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ZwClose(Handle);
    for (ULONG i = 0; i < 10 && NT_SUCCESS(Status); i++) {
        KeSetEvent(&Ask, EVENT_INCREMENT, TRUE);
        KIRQL Between = KeGetCurrentIrql();
        KeWaitForSingleObject(&Answer, Executive, KernelMode, FALSE, NULL);
        Status = Between == DISPATCH_LEVEL && KeGetCurrentIrql() == PASSIVE_LEVEL ? Status : STATUS_UNSUCCESSFUL;
    }
    return Status;
}

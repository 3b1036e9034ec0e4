/* thread_attached_fixed.c: the thread detaches first.
 *
 * expect: completed
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static VOID Worker(PVOID Context) {
    KAPC_STATE State;
    PEPROCESS Process;
    UNREFERENCED_PARAMETER(Context);
    if (!NT_SUCCESS(PsLookupProcessByProcessId(ULongToHandle(0), &Process))) {
        Process = PsInitialSystemProcess;
    }
    KeStackAttachProcess(Process, &State);
    KeUnstackDetachProcess(&State);
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

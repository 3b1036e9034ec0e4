/* thread_attached.c: a thread ends while it is attached to a process.
 *
 * expect: bugcheck 0x00000005 (nonpaged, nonpaged, 1, 0) in thread_attached
 * repaired: thread_attached_fixed.c
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

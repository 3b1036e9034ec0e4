/* process_attach_dpc.c: a DPC attaches to a process: there is no thread of its own to attach.
 *
 * expect: bugcheck 0x00000005 (*, *, 0, 1) in process_attach_dpc
 */
#include <ntifs.h>

static KDPC Dpc;

static VOID Routine(PKDPC Self, PVOID Context, PVOID A, PVOID B) {
    KAPC_STATE State;
    UNREFERENCED_PARAMETER(Self);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(A);
    UNREFERENCED_PARAMETER(B);
    KeStackAttachProcess(PsInitialSystemProcess, &State);
    KeUnstackDetachProcess(&State);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeDpc(&Dpc, Routine, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    return STATUS_SUCCESS;
}

/* process_attach_dpc_fixed.c: the thread attaches, and the DPC only says when.
 *
 * expect: completed
 */
#include <ntifs.h>

static KDPC Dpc;
static KEVENT Now;

static VOID Routine(PKDPC Self, PVOID Context, PVOID A, PVOID B) {
    UNREFERENCED_PARAMETER(Self);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(A);
    UNREFERENCED_PARAMETER(B);
    KeSetEvent(&Now, IO_NO_INCREMENT, FALSE);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    KAPC_STATE State;
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&Now, NotificationEvent, FALSE);
    KeInitializeDpc(&Dpc, Routine, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    KeWaitForSingleObject(&Now, Executive, KernelMode, FALSE, NULL);
    KeStackAttachProcess(PsInitialSystemProcess, &State);
    KeUnstackDetachProcess(&State);
    return STATUS_SUCCESS;
}

/* process_terminate_system.c: what opening and ending processes says on a machine that has only System and Idle.
 *
 * expect: completed
 */
#include <ntifs.h>

static NTSTATUS Open(ULONG Id, PHANDLE Process) {
    CLIENT_ID ClientId = {ULongToHandle(Id), NULL};
    OBJECT_ATTRIBUTES Attributes;
    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwOpenProcess(Process, PROCESS_TERMINATE, &Attributes, &ClientId);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    HANDLE Process;
    PEPROCESS Found;
    NTSTATUS Status = Open(4, &Process);
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (ZwTerminateProcess(Process, STATUS_SUCCESS) != STATUS_ACCESS_DENIED) {
        return STATUS_UNSUCCESSFUL;
    }
    ZwClose(Process);
    if (Open(1234, &Process) != STATUS_INVALID_CID ||
        PsLookupProcessByProcessId((HANDLE)1234, &Found) != STATUS_INVALID_CID) {
        return STATUS_UNSUCCESSFUL;
    }
    return STATUS_SUCCESS;
}

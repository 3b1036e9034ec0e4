/* process_detach_only.c: a thread detaches from a process twice.
 *
 * expect: bugcheck 0x00000006 (0, 0, 0, 0) in process_detach_only
 */
#include <ntifs.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    KAPC_STATE State;
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    RtlZeroMemory(&State, sizeof(State)); /* as if it had been attached from its own process */
    KeUnstackDetachProcess(&State);
    return STATUS_SUCCESS;
}

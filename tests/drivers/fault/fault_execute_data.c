/* fault_execute_data.c: calls code that it wrote into no-execute pool.
 *
 * expect: bugcheck 0x000000FC (nonpaged, *, 0, 0) in fault_execute_data!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PUCHAR Code = ExAllocatePoolWithTag(NonPagedPoolNx, 16, TAG);
    Code[0] = 0xC3; /* ret */
    ((VOID(*)(VOID))Code)();
    ExFreePoolWithTag(Code, TAG);
    return STATUS_SUCCESS;
}

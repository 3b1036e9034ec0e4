/* fault_execute_data_fixed.c: asks for pool in which code may run.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PUCHAR Code = ExAllocatePoolWithTag(NonPagedPoolExecute, 16, TAG);
    if (Code != NULL) {
        Code[0] = 0xC3; /* ret */
        ((VOID(*)(VOID))Code)();
        ExFreePoolWithTag(Code, TAG);
    }
    return STATUS_SUCCESS;
}

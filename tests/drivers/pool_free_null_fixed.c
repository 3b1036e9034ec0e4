/* pool_free_null_fixed.c: frees what it allocated.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PVOID Block = ExAllocatePoolWithTag(NonPagedPoolNx, 64, 'looP');
    if (Block != NULL) {
        ExFreePool(Block);
    }
    return STATUS_SUCCESS;
}

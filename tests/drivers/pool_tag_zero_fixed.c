/* pool_tag_zero_fixed.c: has a tag of its own.
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

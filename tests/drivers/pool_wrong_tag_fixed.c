/* pool_wrong_tag_fixed.c: names the same tag.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'pooP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PVOID Block = ExAllocatePoolWithTag(NonPagedPoolNx, 64, TAG | PROTECTED_POOL);
    if (Block != NULL) {
        ExFreePoolWithTag(Block, TAG | PROTECTED_POOL);
    }
    return STATUS_SUCCESS;
}

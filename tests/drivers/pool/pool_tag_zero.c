/* pool_tag_zero.c: asks for pool without a tag.
 *
 * expect: bugcheck 0x000000C2 (0x9B, 0x200, 64, driver) in pool_tag_zero!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PVOID Block = ExAllocatePoolWithTag(NonPagedPoolNx, 64, 0);
    if (Block != NULL) {
        ExFreePool(Block);
    }
    return STATUS_SUCCESS;
}

/* pool_tag_big.c: uses the tag that belongs to the allocator itself.
 *
 * expect: bugcheck 0x000000C2 (0x9C, 0x200, 64, driver) in pool_tag_big!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PVOID Block = ExAllocatePoolWithTag(NonPagedPoolNx, 64, ' GIB');
    if (Block != NULL) {
        ExFreePool(Block);
    }
    return STATUS_SUCCESS;
}

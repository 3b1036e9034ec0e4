/* pool_tag_unreadable.c: uses a tag without a letter or a digit.
 *
 * expect: bugcheck 0x000000C2 (0x9D, 0x2B2D2D2B, 0x200, driver) in pool_tag_unreadable!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PVOID Block = ExAllocatePoolWithTag(NonPagedPoolNx, 64, '+--+');
    if (Block != NULL) {
        ExFreePool(Block);
    }
    return STATUS_SUCCESS;
}

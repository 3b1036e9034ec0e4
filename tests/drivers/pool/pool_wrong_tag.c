/* pool_wrong_tag.c: frees a block under another tag than the protected one of its allocation.
 *
 * expect: bugcheck 0x000000C2 (0x0A, nonpaged, 0xF06F6F50, 0x706F6F50) in pool_wrong_tag!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'pooP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PVOID Block = ExAllocatePoolWithTag(NonPagedPoolNx, 64, TAG | PROTECTED_POOL);
    ExFreePoolWithTag(Block, TAG);
    return STATUS_SUCCESS;
}

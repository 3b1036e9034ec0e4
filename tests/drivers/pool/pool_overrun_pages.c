/* pool_overrun_pages.c: writes past the end of a large block, but not past its last page: found when the block is
 * freed.
 *
 * expect: bugcheck 0x00000019 (0x21, nonpaged, 5000, 0x5555555555555555) in pool_overrun_pages!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PUCHAR Block = ExAllocatePoolWithTag(NonPagedPoolNx, 5000, TAG);
    RtlFillMemory(Block, 5100, 0x55);
    ExFreePoolWithTag(Block, TAG);
    return STATUS_SUCCESS;
}

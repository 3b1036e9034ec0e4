/* pool_overrun.c: writes past the end of a small block: the header behind it is gone when the block is freed.
 *
 * expect: bugcheck 0x00000019 (0x20, nonpaged, nonpaged, *) in pool_overrun!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PUCHAR Block = ExAllocatePoolWithTag(NonPagedPoolNx, 100, TAG);
    RtlFillMemory(Block, 140, 0x55);
    ExFreePoolWithTag(Block, TAG);
    return STATUS_SUCCESS;
}

/* pool_overrun_pages_fixed.c: asks for as much as it writes.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PUCHAR Block = ExAllocatePoolWithTag(NonPagedPoolNx, 5100, TAG);
    if (Block != NULL) {
        RtlFillMemory(Block, 5100, 0x55);
        ExFreePoolWithTag(Block, TAG);
    }
    return STATUS_SUCCESS;
}

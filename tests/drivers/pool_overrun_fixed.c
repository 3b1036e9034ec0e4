/* pool_overrun_fixed.c: writes as much as it asked for.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PUCHAR Block = ExAllocatePoolWithTag(NonPagedPoolNx, 140, TAG);
    if (Block != NULL) {
        RtlFillMemory(Block, 140, 0x55);
        ExFreePoolWithTag(Block, TAG);
    }
    return STATUS_SUCCESS;
}

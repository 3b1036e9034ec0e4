/* pool_list_damaged_fixed.c: keeps to its own block.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    for (ULONG Round = 0; Round < 1000; Round++) {
        PUCHAR Block = ExAllocatePoolWithTag(NonPagedPoolNx, 1008, TAG);
        if (Block != NULL) {
            RtlZeroMemory(Block, 1008);
            ExFreePoolWithTag(Block, TAG);
        }
    }
    return STATUS_SUCCESS;
}

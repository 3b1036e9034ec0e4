/* pool_double_free_fixed.c: freed once, and the pointer forgotten.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PVOID Block = ExAllocatePoolWithTag(NonPagedPoolNx, 64, TAG);
    if (Block != NULL) {
        ExFreePoolWithTag(Block, TAG);
        Block = NULL;
    }
    if (Block != NULL) {
        ExFreePoolWithTag(Block, TAG);
    }
    return STATUS_SUCCESS;
}

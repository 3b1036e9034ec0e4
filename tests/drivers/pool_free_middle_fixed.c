/* pool_free_middle_fixed.c: frees the block by the address that it got.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PUCHAR Block = ExAllocatePoolWithTag(PagedPool, 3 * PAGE_SIZE, TAG);
    if (Block != NULL) {
        ExFreePoolWithTag(Block, TAG);
    }
    return STATUS_SUCCESS;
}

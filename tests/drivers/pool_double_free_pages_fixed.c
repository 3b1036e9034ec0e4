/* pool_double_free_pages_fixed.c: freed once.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PVOID Block = ExAllocatePoolWithTag(PagedPool, 2 * PAGE_SIZE, TAG);
    if (Block != NULL) {
        ExFreePoolWithTag(Block, TAG);
    }
    return STATUS_SUCCESS;
}

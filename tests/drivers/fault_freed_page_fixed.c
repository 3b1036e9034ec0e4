/* fault_freed_page_fixed.c: frees last.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PUCHAR Block = ExAllocatePoolWithTag(PagedPool, 2 * PAGE_SIZE, TAG);
    if (Block != NULL) {
        Block[0] = 1;
        Block[0] = 2;
        ExFreePoolWithTag(Block, TAG);
    }
    return STATUS_SUCCESS;
}

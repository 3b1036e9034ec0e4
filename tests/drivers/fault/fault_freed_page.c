/* fault_freed_page.c: writes to whole pages of pool after they were freed.
 *
 * expect: bugcheck 0x00000050 (paged, 2, driver, 0) in fault_freed_page!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PUCHAR Block = ExAllocatePoolWithTag(PagedPool, 2 * PAGE_SIZE, TAG);
    Block[0] = 1;
    ExFreePoolWithTag(Block, TAG);
    Block[0] = 2;
    return STATUS_SUCCESS;
}

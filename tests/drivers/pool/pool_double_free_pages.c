/* pool_double_free_pages.c: a block of whole pages is freed twice: its address is no longer known.
 *
 * expect: bugcheck 0x00000019 (0x22, paged, 1, 0) in pool_double_free_pages!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PVOID Block = ExAllocatePoolWithTag(PagedPool, 2 * PAGE_SIZE, TAG);
    ExFreePoolWithTag(Block, TAG);
    ExFreePoolWithTag(Block, TAG);
    return STATUS_SUCCESS;
}

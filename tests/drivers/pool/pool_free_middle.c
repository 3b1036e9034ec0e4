/* pool_free_middle.c: frees the second page of a paged block.
 *
 * expect: bugcheck 0x000000C2 (0x41286, paged, paged, 0) in pool_free_middle!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PUCHAR Block = ExAllocatePoolWithTag(PagedPool, 3 * PAGE_SIZE, TAG);
    ExFreePoolWithTag(Block + PAGE_SIZE, TAG);
    return STATUS_SUCCESS;
}

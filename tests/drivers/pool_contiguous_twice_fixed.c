/* pool_contiguous_twice_fixed.c: frees it once.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PHYSICAL_ADDRESS Highest = {.QuadPart = -1};
    PVOID Memory = MmAllocateContiguousMemory(3 * PAGE_SIZE, Highest);
    if (Memory != NULL) {
        RtlZeroMemory(Memory, 3 * PAGE_SIZE);
        MmFreeContiguousMemory(Memory);
    }
    return STATUS_SUCCESS;
}

/* pool_contiguous_twice.c: frees contiguous memory twice.
 *
 * expect: bugcheck 0x00000019 (0x22, *, 4, 0) in pool_contiguous_twice!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PHYSICAL_ADDRESS Highest = {.QuadPart = -1};
    PVOID Memory = MmAllocateContiguousMemory(3 * PAGE_SIZE, Highest);
    MmFreeContiguousMemory(Memory);
    MmFreeContiguousMemory(Memory);
    return STATUS_SUCCESS;
}

/* page_io_space_twice.c: unmaps device memory twice.
 *
 * expect: bugcheck 0x000000DA (0x400, *, 1, 0) in page_io_space_twice!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PHYSICAL_ADDRESS Physical = {.QuadPart = 0xFEE00000};
    PVOID Registers = MmMapIoSpace(Physical, PAGE_SIZE, MmNonCached);
    MmUnmapIoSpace(Registers, PAGE_SIZE);
    MmUnmapIoSpace(Registers, PAGE_SIZE);
    return STATUS_SUCCESS;
}

/* page_io_space_twice_fixed.c: once.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PHYSICAL_ADDRESS Physical = {.QuadPart = 0xFEE00000};
    PVOID Registers = MmMapIoSpace(Physical, PAGE_SIZE, MmNonCached);
    if (Registers != NULL) {
        MmUnmapIoSpace(Registers, PAGE_SIZE);
    }
    return STATUS_SUCCESS;
}

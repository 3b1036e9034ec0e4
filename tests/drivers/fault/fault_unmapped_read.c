/* fault_unmapped_read.c: reads a system address behind which there is nothing.
 *
 * expect: bugcheck 0x00000050 (0xFFFFFAE000000000, 0, driver, 2) in fault_unmapped_read!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    volatile ULONG *Pointer = (volatile ULONG *)0xFFFFFAE000000000;
    DbgPrint("%u\n", *Pointer);
    return STATUS_SUCCESS;
}

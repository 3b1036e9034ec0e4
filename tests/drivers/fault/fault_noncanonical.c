/* fault_noncanonical.c: reads through a pointer that is not canonical: the CPU does not say which, so the address
 * is -1.
 *
 * expect: bugcheck 0x0000007E (0xFFFFFFFFC0000005, driver, stack, stack) in fault_noncanonical!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    volatile ULONG *Pointer = (volatile ULONG *)0x6B6B6B6B6B6B6B6B;
    DbgPrint("%u\n", *Pointer);
    return STATUS_SUCCESS;
}

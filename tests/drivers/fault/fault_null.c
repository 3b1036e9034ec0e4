/* fault_null.c: writes through a NULL pointer at PASSIVE_LEVEL: an exception without a handler.
 *
 * expect: bugcheck 0x0000007E (0xFFFFFFFFC0000005, driver, stack, stack) in fault_null!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    volatile ULONG *Pointer = NULL;
    *Pointer = 1;
    return STATUS_SUCCESS;
}

/* trap_divide.c: divides by zero.
 *
 * expect: bugcheck 0x0000007E (0xFFFFFFFFC0000094, driver, stack, stack) in trap_divide!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    volatile ULONG Zero = 0;
    DbgPrint("%u\n", 7 / Zero);
    return STATUS_SUCCESS;
}

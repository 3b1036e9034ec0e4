/* fault_readonly.c: writes to a string literal, which is constant data.
 *
 * expect: bugcheck 0x000000BE (driver, *, 0, 0) in fault_readonly!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PCHAR Text = (PCHAR) "constant";
    *(volatile CHAR *)Text = 'C';
    DbgPrint("%s\n", Text);
    return STATUS_SUCCESS;
}

/* fault_readonly_fixed.c: writes to an array that it initialised with the literal.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    CHAR Text[] = "constant";
    *(volatile CHAR *)Text = 'C';
    DbgPrint("%s\n", Text);
    return STATUS_SUCCESS;
}

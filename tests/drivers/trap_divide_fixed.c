/* trap_divide_fixed.c: looks at the divisor.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    volatile ULONG Zero = 0;
    DbgPrint("%u\n", Zero == 0 ? 0 : 7 / Zero);
    return STATUS_SUCCESS;
}

/* trap_raised_status_fixed.c: returns the status.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    DbgPrint("status 0x%08x\n", STATUS_INSUFFICIENT_RESOURCES);
    return STATUS_SUCCESS;
}

/* trap_raised_status.c: raises an exception by a call, without a handler.
 *
 * expect: bugcheck 0x0000007E (0xFFFFFFFFC000009A, driver, stack, stack) in trap_raised_status!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    return STATUS_SUCCESS;
}

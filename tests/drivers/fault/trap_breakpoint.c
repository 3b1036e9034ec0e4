/* trap_breakpoint.c: a breakpoint is left in the code, and there is no debugger.
 *
 * expect: bugcheck 0x0000007E (0xFFFFFFFF80000003, driver, stack, stack) in trap_breakpoint!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    __debugbreak();
    return STATUS_SUCCESS;
}

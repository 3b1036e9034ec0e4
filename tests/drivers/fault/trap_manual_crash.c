/* trap_manual_crash.c: stops the machine on purpose.
 *
 * expect: bugcheck 0x000000E2 (0, 0, 0, 0) in trap_manual_crash!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeBugCheck(MANUALLY_INITIATED_CRASH);
    return STATUS_SUCCESS;
}

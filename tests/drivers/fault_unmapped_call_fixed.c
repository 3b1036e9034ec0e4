/* fault_unmapped_call_fixed.c: calls a routine that exists.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static VOID Nothing(VOID) {
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    VOID (*Routine)(VOID) = Nothing;
    Routine();
    return STATUS_SUCCESS;
}

/* fault_null_fixed.c: the pointer points to something.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    ULONG Value;
    volatile ULONG *Pointer = &Value;
    *Pointer = 1;
    return STATUS_SUCCESS;
}

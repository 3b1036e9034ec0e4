/* fault_noncanonical_fixed.c: the pointer points to something.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    ULONG Value = 1;
    volatile ULONG *Pointer = &Value;
    DbgPrint("%u\n", *Pointer);
    return STATUS_SUCCESS;
}

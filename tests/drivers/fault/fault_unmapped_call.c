/* fault_unmapped_call.c: calls through a pointer to where nothing is.
 *
 * expect: bugcheck 0x00000050 (0xFFFFFAE000000000, 0x10, 0xFFFFFAE000000000, 2) in fault_unmapped_call!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    VOID (*Routine)(VOID) = (VOID(*)(VOID))0xFFFFFAE000000000;
    Routine();
    return STATUS_SUCCESS;
}

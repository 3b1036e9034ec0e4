/* work_entry_region.c: DriverEntry returns in a critical region.
 *
 * expect: bugcheck 0x00000001 (kernel, 0, 0xFFFF, 1) in work_entry_region
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeEnterCriticalRegion();
    return STATUS_SUCCESS;
}

/* pool_free_null.c: frees a pointer that was never set; there is no tolerance for NULL.
 *
 * expect: bugcheck 0x000000C2 (0x46, 0, 0, 0) in pool_free_null!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    ULONG64 OnTheStack[4] = {0};
    UNREFERENCED_PARAMETER(OnTheStack);
    ExFreePool(NULL);
    return STATUS_SUCCESS;
}

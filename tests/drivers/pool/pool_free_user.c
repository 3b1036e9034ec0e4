/* pool_free_user.c: frees an address of the lower half, which no pool has.
 *
 * expect: bugcheck 0x000000C2 (0x40, 0x10000, 0xFFFF800000000000, 0) in pool_free_user!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    ULONG64 OnTheStack[4] = {0};
    UNREFERENCED_PARAMETER(OnTheStack);
    ExFreePool((PVOID)0x10000);
    return STATUS_SUCCESS;
}

/* pool_free_stack.c: frees a variable on its stack.
 *
 * expect: bugcheck 0x000000C2 (0x42, stack, 0, 0) in pool_free_stack!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    ULONG64 OnTheStack[4] = {0};
    UNREFERENCED_PARAMETER(OnTheStack);
    ExFreePool(&OnTheStack);
    return STATUS_SUCCESS;
}

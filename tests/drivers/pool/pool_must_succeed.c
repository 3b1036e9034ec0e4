/* pool_must_succeed.c: asks for a kind of pool that is long gone.
 *
 * expect: bugcheck 0x000000C2 (0x9A, 2, 64, 0x506F6F6C) in pool_must_succeed!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'Pool'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PVOID Block = ExAllocatePoolWithTag(NonPagedPoolMustSucceed, 64, TAG);
    ExFreePoolWithTag(Block, TAG);
    return STATUS_SUCCESS;
}

/* pool_timer_in_freed_block.c: frees a structure while the timer in it is set.
 *
 * expect: bugcheck 0x000000C7 (0, nonpaged, nonpaged, nonpaged) in pool_timer_in_freed_block!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    LARGE_INTEGER Due = {.QuadPart = -10 * 1000 * 1000};
    PKTIMER Timer = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Timer), TAG);
    KeInitializeTimer(Timer);
    KeSetTimer(Timer, Due, NULL);
    ExFreePoolWithTag(Timer, TAG);
    return STATUS_SUCCESS;
}

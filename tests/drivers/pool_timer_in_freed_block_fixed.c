/* pool_timer_in_freed_block_fixed.c: cancels the timer first.
 *
 * expect: completed
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
    KeCancelTimer(Timer);
    ExFreePoolWithTag(Timer, TAG);
    return STATUS_SUCCESS;
}

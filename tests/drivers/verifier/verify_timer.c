/* verify_timer.c: a timer is set and its memory freed: it would expire in memory of another owner.
 *
 * expect: bugcheck 0x000000C4 (0x15, nonpaged, 0, nonpaged) in verify_timer!DriverEntry
 * run: --verifier=misc
 */
#include <ntddk.h>

#define TAG 'miTV'

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    LARGE_INTEGER InAnHour = {.QuadPart = -36000000000LL};
    PKTIMER Timer = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof(KTIMER), TAG);
    if (Timer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KeInitializeTimer(Timer);
    KeSetTimer(Timer, InAnHour, NULL);
    ExFreePoolWithTag(Timer, TAG);
    return STATUS_SUCCESS;
}

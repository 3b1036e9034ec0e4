/* verify_object_fixed.c: the event in nonpaged pool.
 *
 * expect: completed
 * run: --verifier=irql
 */
#include <ntddk.h>

#define TAG 'tvEV'

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    PKEVENT Event = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof(KEVENT), TAG);
    if (Event == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KeInitializeEvent(Event, NotificationEvent, FALSE);
    KeSetEvent(Event, IO_NO_INCREMENT, FALSE);
    ExFreePoolWithTag(Event, TAG);
    return STATUS_SUCCESS;
}

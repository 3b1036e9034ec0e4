/* verify_object.c: an event in paged pool: the dispatcher touches it at DISPATCH_LEVEL.
 *
 * expect: bugcheck 0x000000C4 (0xE1, paged, 0, 0) in verify_object!DriverEntry
 * run: --verifier=irql
 */
#include <ntddk.h>

#define TAG 'tvEV'

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    PKEVENT Event = ExAllocatePool2(POOL_FLAG_PAGED, sizeof(KEVENT), TAG);
    if (Event == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KeInitializeEvent(Event, NotificationEvent, FALSE);
    KeSetEvent(Event, IO_NO_INCREMENT, FALSE);
    ExFreePoolWithTag(Event, TAG);
    return STATUS_SUCCESS;
}

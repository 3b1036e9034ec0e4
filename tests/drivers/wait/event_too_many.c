/* event_too_many.c: four objects are waited for without an array of wait blocks.
 *
 * expect: bugcheck 0x0000000C (0, 0, 0, 0) in event_too_many
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KEVENT Event;
    PVOID Objects[4] = {&Event, &Event, &Event, &Event};
    KeInitializeEvent(&Event, NotificationEvent, TRUE);
    return KeWaitForMultipleObjects(4, Objects, WaitAny, Executive, KernelMode, FALSE, NULL, NULL);
}

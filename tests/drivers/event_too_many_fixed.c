/* event_too_many_fixed.c: the caller brings the wait blocks.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KEVENT Event;
    KWAIT_BLOCK Blocks[4];
    PVOID Objects[4] = {&Event, &Event, &Event, &Event};
    KeInitializeEvent(&Event, NotificationEvent, TRUE);
    return KeWaitForMultipleObjects(4, Objects, WaitAny, Executive, KernelMode, FALSE, NULL, Blocks);
}

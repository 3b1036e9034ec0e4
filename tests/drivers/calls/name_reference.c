/* name_reference.c: a driver drops the reference of an event twice; the second one was the handle's.
 *
 * expect: bugcheck 0x00000018 (*, nonpaged, 0, *) in name_reference
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNICODE_STRING Name;
    HANDLE Handle;
    PVOID Event;
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    RtlInitUnicodeString(&Name, L"\\BaseNamedObjects\\Counted");
    if (IoCreateNotificationEvent(&Name, &Handle) == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    ZwClose(Handle); /* the name goes with its last handle */
    if (IoCreateNotificationEvent(NULL, &Handle) == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    NTSTATUS Status =
        ObReferenceObjectByHandle(Handle, EVENT_MODIFY_STATE, *ExEventObjectType, KernelMode, &Event, NULL);
    if (NT_SUCCESS(Status)) {
        ObDereferenceObject(Event);
        ObDereferenceObject(Event);
    }
    ZwClose(Handle);
    return Status;
}

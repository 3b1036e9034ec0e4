/* io_shutdown.c: a device asks for a notice of the machine's orderly end, and gets it.
 *
 * expect: bugcheck 0xDEAD0042 (1, 2, 3, 4) in io_shutdown!OnShutdown
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

/* The bugcheck shows that the request came: after this nothing of the driver would be seen. */
static NTSTATUS OnShutdown(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    KeBugCheckEx(0xDEAD0042, 1, 2, 3, 4);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PDEVICE_OBJECT Device;
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->MajorFunction[IRP_MJ_SHUTDOWN] = OnShutdown;
    NTSTATUS Status = IoCreateDevice(DriverObject, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    return NT_SUCCESS(Status) ? IoRegisterShutdownNotification(Device) : Status;
}

/* name_symbolic_link.c: the life of a symbolic link, and a device name that is taken.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static UNICODE_STRING DeviceName = RTL_CONSTANT_STRING(L"\\Device\\NameTest");
static UNICODE_STRING LinkName = RTL_CONSTANT_STRING(L"\\??\\NameTest");

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PDEVICE_OBJECT First, Second;
    UNREFERENCED_PARAMETER(RegistryPath);
    NTSTATUS Status = IoCreateDevice(DriverObject, 0, &DeviceName, FILE_DEVICE_UNKNOWN, 0, FALSE, &First);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (IoCreateDevice(DriverObject, 0, &DeviceName, FILE_DEVICE_UNKNOWN, 0, FALSE, &Second) !=
            STATUS_OBJECT_NAME_COLLISION ||
        IoCreateSymbolicLink(&LinkName, &DeviceName) != STATUS_SUCCESS ||
        IoCreateSymbolicLink(&LinkName, &DeviceName) != STATUS_OBJECT_NAME_COLLISION ||
        IoDeleteSymbolicLink(&LinkName) != STATUS_SUCCESS ||
        IoDeleteSymbolicLink(&LinkName) != STATUS_OBJECT_NAME_NOT_FOUND) {
        Status = STATUS_UNSUCCESSFUL;
    }
    IoDeleteDevice(First);
    return Status;
}

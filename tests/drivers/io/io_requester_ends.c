/* io_requester_ends.c: a thread ends before its request, which the device cannot give back: it has no cancel routine. The
 * end of the thread takes five minutes (five seconds here), and then the request has no owner.
 *
 * expect: undecided (IRP_MJ_DEVICE_CONTROL) of a thread that has ended is pending in io_requester_ends.sys
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define CODE CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)

static KEVENT Done;
static IO_STATUS_BLOCK Result;

static NTSTATUS OnControl(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    IoMarkIrpPending(Irp);
    return STATUS_PENDING;
}

static VOID Requester(PVOID Context) {
    PDEVICE_OBJECT Device = (PDEVICE_OBJECT)Context;
    PIRP Irp = IoBuildDeviceIoControlRequest(CODE, Device, NULL, 0, NULL, 0, FALSE, &Done, &Result);
    if (Irp != NULL) {
        IoCallDriver(Device, Irp);
    }
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PDEVICE_OBJECT Device;
    HANDLE Thread;
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = OnControl;
    NTSTATUS Status = IoCreateDevice(DriverObject, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (NT_SUCCESS(Status)) {
        Status = PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Requester, Device);
    }
    if (NT_SUCCESS(Status)) {
        ZwClose(Thread);
    }
    return Status;
}

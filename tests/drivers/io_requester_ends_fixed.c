/* io_requester_ends_fixed.c: a thread ends before its request: its end cancels it, and has waited until it was back.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define CODE CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)

static KEVENT Done;
static IO_STATUS_BLOCK Result;

static VOID OnCancel(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    Irp->IoStatus.Status = STATUS_CANCELLED;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
}

static NTSTATUS OnControl(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    IoMarkIrpPending(Irp);
    IoSetCancelRoutine(Irp, OnCancel);
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
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ZwWaitForSingleObject(Thread, FALSE, NULL);
    ZwClose(Thread);
    IoDeleteDevice(Device);
    return KeReadStateEvent(&Done) && Result.Status == STATUS_CANCELLED ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

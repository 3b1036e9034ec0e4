/* io_wait_at_apc_level.c: a thread waits for its request with a fast mutex held: the APC that would set the event never comes.
 *
 * expect: deadlock
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KDPC Dpc;
static FAST_MUTEX Mutex;

static VOID AnswerLater(PKDPC Deferred, PVOID Context, PVOID Argument1, PVOID Argument2) {
    PIRP Irp = (PIRP)Argument1;
    UNREFERENCED_PARAMETER(Deferred);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument2);
    Irp->IoStatus.Status = STATUS_SUCCESS;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
}

static NTSTATUS OnControl(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    IoMarkIrpPending(Irp);
    KeInsertQueueDpc(&Dpc, Irp, NULL);
    return STATUS_PENDING;
}

static VOID Requester(PVOID Context) {
    PDEVICE_OBJECT Device = (PDEVICE_OBJECT)Context;
    KEVENT Done;
    IO_STATUS_BLOCK Result;
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    PIRP Irp = IoBuildDeviceIoControlRequest(CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS),
                                             Device, NULL, 0, NULL, 0, FALSE, &Done, &Result);
    ExAcquireFastMutex(&Mutex);
    if (IoCallDriver(Device, Irp) == STATUS_PENDING) {
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    }
    ExReleaseFastMutex(&Mutex);
    IoDeleteDevice(Device);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PDEVICE_OBJECT Device;
    HANDLE Thread;
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = OnControl;
    KeInitializeDpc(&Dpc, AnswerLater, NULL);
    ExInitializeFastMutex(&Mutex);
    NTSTATUS Status = IoCreateDevice(DriverObject, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (NT_SUCCESS(Status)) {
        Status = PsCreateSystemThread(&Thread, 0, NULL, NULL, NULL, Requester, Device);
    }
    if (NT_SUCCESS(Status)) {
        ZwClose(Thread);
    }
    return Status;
}

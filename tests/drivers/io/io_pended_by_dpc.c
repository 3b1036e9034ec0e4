/* io_pended_by_dpc.c: a request is pended, a DPC completes it; the requester's paged buffer gets the answer.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static NTSTATUS Complete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information) {
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static KDPC Dpc;

static VOID AnswerLater(PKDPC Deferred, PVOID Context, PVOID Argument1, PVOID Argument2) {
    PIRP Irp = (PIRP)Argument1;
    UNREFERENCED_PARAMETER(Deferred);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument2);
    *(PULONG)Irp->AssociatedIrp.SystemBuffer = 42;
    Complete(Irp, STATUS_SUCCESS, sizeof(ULONG));
}

static NTSTATUS OnControl(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    IoMarkIrpPending(Irp);
    KeInsertQueueDpc(&Dpc, Irp, NULL);
    return STATUS_PENDING;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PDEVICE_OBJECT Device;
    KEVENT Done;
    IO_STATUS_BLOCK Result;
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = OnControl;
    KeInitializeDpc(&Dpc, AnswerLater, NULL);
    PULONG Answer = (PULONG)ExAllocatePoolWithTag(PagedPool, sizeof(ULONG), 'nsnA');
    NTSTATUS Status = IoCreateDevice(DriverObject, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status) || Answer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    *Answer = 0;
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    PIRP Irp = IoBuildDeviceIoControlRequest(CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS),
                                             Device, NULL, 0, Answer, sizeof(ULONG), FALSE, &Done, &Result);
    if (Irp != NULL && IoCallDriver(Device, Irp) == STATUS_PENDING) {
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    }
    Status = *Answer == 42 && Result.Information == sizeof(ULONG) ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
    ExFreePoolWithTag(Answer, 'nsnA');
    IoDeleteDevice(Device);
    return Status;
}

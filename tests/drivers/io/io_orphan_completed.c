/* io_orphan_completed.c: a request is completed after its thread has ended (five seconds here for five minutes): the status
 * block and the event stay as they were, and the request is freed.
 *
 * expect: completed
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

#define CODE CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define UNTOUCHED 0x5A5A

static KEVENT Done;
static IO_STATUS_BLOCK Result = {.Status = UNTOUCHED};
static UCHAR Output[64];
static PIRP Orphan;
static KEVENT Leave;

static NTSTATUS OnControl(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    IoMarkIrpPending(Irp);
    Orphan = Irp;
    return STATUS_PENDING;
}

static VOID Requester(PVOID Context) {
    PDEVICE_OBJECT Device = (PDEVICE_OBJECT)Context;
    PIRP Irp = IoBuildDeviceIoControlRequest(CODE, Device, NULL, 0, Output, sizeof(Output), FALSE, &Done, &Result);
    if (Irp != NULL) {
        IoCallDriver(Device, Irp);
    }
}

/* One of them is likely to lie where the requester lay. */
static VOID Heir(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&Leave, Executive, KernelMode, FALSE, NULL);
}

static VOID Sleep(ULONG Milliseconds) {
    LARGE_INTEGER Interval = {.QuadPart = -10000LL * Milliseconds};
    KeDelayExecutionThread(KernelMode, FALSE, &Interval);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PDEVICE_OBJECT Device;
    HANDLE Thread, Heirs[8];
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    KeInitializeEvent(&Leave, NotificationEvent, FALSE);
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
    Sleep(200);
    for (ULONG i = 0; i < RTL_NUMBER_OF(Heirs); i++) {
        PsCreateSystemThread(&Heirs[i], THREAD_ALL_ACCESS, NULL, NULL, NULL, Heir, NULL);
    }
    Sleep(200);
    RtlFillMemory(Orphan->AssociatedIrp.SystemBuffer, sizeof(Output), 0xEE);
    Orphan->IoStatus.Status = STATUS_SUCCESS;
    Orphan->IoStatus.Information = sizeof(Output);
    IoCompleteRequest(Orphan, IO_NO_INCREMENT);
    Sleep(200);
    BOOLEAN IsUntouched = Result.Status == UNTOUCHED && Output[0] == 0 && KeReadStateEvent(&Done) == 0;
    KeSetEvent(&Leave, IO_NO_INCREMENT, FALSE);
    for (ULONG i = 0; i < RTL_NUMBER_OF(Heirs); i++) {
        ZwWaitForSingleObject(Heirs[i], FALSE, NULL);
        ZwClose(Heirs[i]);
    }
    IoDeleteDevice(Device);
    return IsUntouched ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

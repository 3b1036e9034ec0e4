/* sample_start_io.c: requests go one by one through StartIo to a device that answers in the DPC of its device object.
 *
 * expect: completed
 * run: --unload
 */
#include <wdm.h>

DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD Unload;
DRIVER_STARTIO StartIo;
DRIVER_DISPATCH DispatchWrite;
DRIVER_CANCEL CancelWrite;
IO_DPC_ROUTINE DpcForIsr;
KDEFERRED_ROUTINE DeviceAnswers;
IO_COMPLETION_ROUTINE WriteDone;

typedef struct _DEVICE_EXTENSION {
    PDEVICE_OBJECT Self;
    KTIMER Timer; /* the hardware of this sample */
    KDPC TimerDpc;
    LONG Started;
} DEVICE_EXTENSION, *PDEVICE_EXTENSION;

#define WRITES 4
static LONG Order[WRITES], Finished, WasCancelled;
static KEVENT AllDone;

VOID CancelWrite(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    BOOLEAN WasQueued = KeRemoveEntryDeviceQueue(&DeviceObject->DeviceQueue, &Irp->Tail.Overlay.DeviceQueueEntry);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    if (WasQueued) {
        Irp->IoStatus.Status = STATUS_CANCELLED;
        Irp->IoStatus.Information = 0;
        IoCompleteRequest(Irp, IO_NO_INCREMENT);
    }
}

NTSTATUS DispatchWrite(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    IoMarkIrpPending(Irp);
    IoStartPacket(DeviceObject, Irp, NULL, CancelWrite);
    return STATUS_PENDING;
}

VOID StartIo(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    PDEVICE_EXTENSION Extension = (PDEVICE_EXTENSION)DeviceObject->DeviceExtension;
    LARGE_INTEGER DueTime = {.QuadPart = -10000LL * 5};
    KIRQL Irql;
    IoAcquireCancelSpinLock(&Irql);
    IoSetCancelRoutine(Irp, NULL); /* it is with the device now */
    IoReleaseCancelSpinLock(Irql);
    Extension->Started++;
    KeSetTimer(&Extension->Timer, DueTime, &Extension->TimerDpc);
}

/* Where a real device's interrupt would be. */
VOID DeviceAnswers(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    PDEVICE_EXTENSION Extension = (PDEVICE_EXTENSION)Context;
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    IoRequestDpc(Extension->Self, Extension->Self->CurrentIrp, Extension);
}

VOID DpcForIsr(PKDPC Dpc, PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    IoStartNextPacket(DeviceObject, TRUE);
    Irp->IoStatus.Status = STATUS_SUCCESS;
    Irp->IoStatus.Information = IoGetCurrentIrpStackLocation(Irp)->Parameters.Write.Length;
    IoCompleteRequest(Irp, IO_SERIAL_INCREMENT);
}

NTSTATUS WriteDone(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context) {
    UNREFERENCED_PARAMETER(DeviceObject);
    LONG Place = InterlockedIncrement(&Finished);
    if (Irp->IoStatus.Status == STATUS_CANCELLED) {
        WasCancelled = (LONG)(ULONG_PTR)Context;
    }
    Order[Place - 1] = (LONG)(ULONG_PTR)Context;
    IoFreeIrp(Irp);
    if (Place == WRITES) {
        KeSetEvent(&AllDone, IO_NO_INCREMENT, FALSE);
    }
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* Four writes at once at DISPATCH_LEVEL, the third of which is taken back while it waits. */
static NTSTATUS Test(PDEVICE_OBJECT DeviceObject) {
    PIRP Irps[WRITES];
    for (ULONG i = 0; i < WRITES; i++) {
        Irps[i] = IoAllocateIrp(DeviceObject->StackSize, FALSE);
        if (Irps[i] == NULL) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        PIO_STACK_LOCATION Next = IoGetNextIrpStackLocation(Irps[i]);
        Next->MajorFunction = IRP_MJ_WRITE;
        Next->Parameters.Write.Length = i + 1;
        IoSetCompletionRoutine(Irps[i], WriteDone, (PVOID)(ULONG_PTR)(i + 1), TRUE, TRUE, TRUE);
    }
    KIRQL OldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    for (ULONG i = 0; i < WRITES; i++) {
        IoCallDriver(DeviceObject, Irps[i]);
    }
    BOOLEAN IsCancelled = IoCancelIrp(Irps[2]);
    KeLowerIrql(OldIrql);
    KeWaitForSingleObject(&AllDone, Executive, KernelMode, FALSE, NULL);
    DbgPrint("order %d %d %d %d, started %d\n", Order[0], Order[1], Order[2], Order[3],
             ((PDEVICE_EXTENSION)DeviceObject->DeviceExtension)->Started);
    return IsCancelled && WasCancelled == 3 && Order[1] == 1 && Order[2] == 2 && Order[3] == 4 ? STATUS_SUCCESS
                                                                                             : STATUS_UNSUCCESSFUL;
}

VOID Unload(PDRIVER_OBJECT DriverObject) {
    KeFlushQueuedDpcs();
    IoDeleteDevice(DriverObject->DeviceObject);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PDEVICE_OBJECT DeviceObject;
    UNREFERENCED_PARAMETER(RegistryPath);
    NTSTATUS Status = IoCreateDevice(DriverObject, sizeof(DEVICE_EXTENSION), NULL, FILE_DEVICE_UNKNOWN, 0, FALSE,
                                     &DeviceObject);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    PDEVICE_EXTENSION Extension = (PDEVICE_EXTENSION)DeviceObject->DeviceExtension;
    Extension->Self = DeviceObject;
    KeInitializeTimer(&Extension->Timer);
    KeInitializeDpc(&Extension->TimerDpc, DeviceAnswers, Extension);
    KeInitializeEvent(&AllDone, NotificationEvent, FALSE);
    IoInitializeDpcRequest(DeviceObject, DpcForIsr);
    DriverObject->DriverStartIo = StartIo;
    DriverObject->MajorFunction[IRP_MJ_WRITE] = DispatchWrite;
    DriverObject->DriverUnload = Unload;
    Status = Test(DeviceObject);
    if (!NT_SUCCESS(Status)) {
        Unload(DriverObject);
    }
    return Status;
}

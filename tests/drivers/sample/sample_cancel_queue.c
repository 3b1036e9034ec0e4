/* sample_cancel_queue.c: reads wait in a cancel-safe queue for data that a timer brings; one of three is taken back before.
 *
 * expect: completed
 * run: --unload
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD Unload;
_Dispatch_type_(IRP_MJ_READ) DRIVER_DISPATCH DispatchRead;
IO_CSQ_INSERT_IRP CsqInsert;
IO_CSQ_REMOVE_IRP CsqRemove;
IO_CSQ_PEEK_NEXT_IRP CsqPeek;
IO_CSQ_ACQUIRE_LOCK CsqAcquire;
IO_CSQ_RELEASE_LOCK CsqRelease;
IO_CSQ_COMPLETE_CANCELED_IRP CsqComplete;
IO_COMPLETION_ROUTINE ReadDone;
KDEFERRED_ROUTINE DataArrives;

typedef struct _DEVICE_EXTENSION {
    IO_CSQ Queue;
    LIST_ENTRY Pending;
    KSPIN_LOCK Lock;
    KTIMER Timer;
    KDPC Dpc;
    ULONG Sequence;
} DEVICE_EXTENSION, *PDEVICE_EXTENSION;

#define READS 3
static PIRP Reads[READS];
static KEVENT Done[READS];
static LONG Cancelled, Completed;

VOID CsqInsert(PIO_CSQ Csq, PIRP Irp) {
    PDEVICE_EXTENSION Extension = CONTAINING_RECORD(Csq, DEVICE_EXTENSION, Queue);
    InsertTailList(&Extension->Pending, &Irp->Tail.Overlay.ListEntry);
}

VOID CsqRemove(PIO_CSQ Csq, PIRP Irp) {
    UNREFERENCED_PARAMETER(Csq);
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
}

PIRP CsqPeek(PIO_CSQ Csq, PIRP Irp, PVOID PeekContext) {
    PDEVICE_EXTENSION Extension = CONTAINING_RECORD(Csq, DEVICE_EXTENSION, Queue);
    PLIST_ENTRY Next = Irp == NULL ? Extension->Pending.Flink : Irp->Tail.Overlay.ListEntry.Flink;
    UNREFERENCED_PARAMETER(PeekContext);
    return Next == &Extension->Pending ? NULL : CONTAINING_RECORD(Next, IRP, Tail.Overlay.ListEntry);
}

VOID CsqAcquire(PIO_CSQ Csq, PKIRQL Irql) {
    KeAcquireSpinLock(&CONTAINING_RECORD(Csq, DEVICE_EXTENSION, Queue)->Lock, Irql);
}

VOID CsqRelease(PIO_CSQ Csq, KIRQL Irql) {
    KeReleaseSpinLock(&CONTAINING_RECORD(Csq, DEVICE_EXTENSION, Queue)->Lock, Irql);
}

VOID CsqComplete(PIO_CSQ Csq, PIRP Irp) {
    UNREFERENCED_PARAMETER(Csq);
    Irp->IoStatus.Status = STATUS_CANCELLED;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
}

_Use_decl_annotations_
NTSTATUS DispatchRead(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    PDEVICE_EXTENSION Extension = (PDEVICE_EXTENSION)DeviceObject->DeviceExtension;
    IoCsqInsertIrp(&Extension->Queue, Irp, NULL);
    return STATUS_PENDING;
}

/* One read is served each time. */
VOID DataArrives(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    PDEVICE_EXTENSION Extension = (PDEVICE_EXTENSION)Context;
    PIRP Irp = IoCsqRemoveNextIrp(&Extension->Queue, NULL);
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    if (Irp != NULL) {
        *(PULONG)Irp->AssociatedIrp.SystemBuffer = ++Extension->Sequence;
        Irp->IoStatus.Status = STATUS_SUCCESS;
        Irp->IoStatus.Information = sizeof(ULONG);
        IoCompleteRequest(Irp, IO_NO_INCREMENT);
    }
}

NTSTATUS ReadDone(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context) {
    UNREFERENCED_PARAMETER(DeviceObject);
    InterlockedIncrement(Irp->IoStatus.Status == STATUS_CANCELLED ? &Cancelled : &Completed);
    KeSetEvent((PKEVENT)Context, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED; /* who sent it frees it */
}

static NTSTATUS SendReads(PDEVICE_OBJECT DeviceObject, ULONG Values[READS]) {
    for (ULONG i = 0; i < READS; i++) {
        Reads[i] = IoAllocateIrp(DeviceObject->StackSize, FALSE);
        if (Reads[i] == NULL) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        PIO_STACK_LOCATION Next = IoGetNextIrpStackLocation(Reads[i]);
        KeInitializeEvent(&Done[i], NotificationEvent, FALSE);
        Next->MajorFunction = IRP_MJ_READ;
        Next->Parameters.Read.Length = sizeof(ULONG);
        Reads[i]->AssociatedIrp.SystemBuffer = &Values[i];
        IoSetCompletionRoutine(Reads[i], ReadDone, &Done[i], TRUE, TRUE, TRUE);
        IoCallDriver(DeviceObject, Reads[i]);
    }
    return STATUS_SUCCESS;
}

static NTSTATUS Test(PDEVICE_OBJECT DeviceObject) {
    PDEVICE_EXTENSION Extension = (PDEVICE_EXTENSION)DeviceObject->DeviceExtension;
    PVOID Objects[READS] = {&Done[0], &Done[1], &Done[2]};
    ULONG Values[READS] = {0};
    LARGE_INTEGER DueTime;
    NTSTATUS Status = SendReads(DeviceObject, Values);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    BOOLEAN WasQueued = IoCancelIrp(Reads[1]);
    DueTime.QuadPart = -10000LL * 20;
    KeSetTimerEx(&Extension->Timer, DueTime, 20, &Extension->Dpc);
    Status = KeWaitForMultipleObjects(READS, Objects, WaitAll, Executive, KernelMode, FALSE, NULL, NULL);
    for (ULONG i = 0; i < READS; i++) {
        IoFreeIrp(Reads[i]);
    }
    DbgPrint("%d completed, %d cancelled: %u %u %u\n", Completed, Cancelled, Values[0], Values[1], Values[2]);
    WasQueued = WasQueued && IsListEmpty(&Extension->Pending);
    return WasQueued && Completed == 2 && Cancelled == 1 && Values[0] == 1 && Values[1] == 0 && Values[2] == 2 ? Status
                                                                                                  : STATUS_UNSUCCESSFUL;
}

VOID Unload(PDRIVER_OBJECT DriverObject) {
    PDEVICE_EXTENSION Extension = (PDEVICE_EXTENSION)DriverObject->DeviceObject->DeviceExtension;
    KeCancelTimer(&Extension->Timer);
    KeFlushQueuedDpcs();
    IoDeleteDevice(DriverObject->DeviceObject);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PDEVICE_OBJECT DeviceObject;
    UNREFERENCED_PARAMETER(RegistryPath);
    NTSTATUS Status = IoCreateDevice(DriverObject, sizeof(DEVICE_EXTENSION), NULL, FILE_DEVICE_UNKNOWN,
                                     FILE_DEVICE_SECURE_OPEN, FALSE, &DeviceObject);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    PDEVICE_EXTENSION Extension = (PDEVICE_EXTENSION)DeviceObject->DeviceExtension;
    InitializeListHead(&Extension->Pending);
    KeInitializeSpinLock(&Extension->Lock);
    KeInitializeTimer(&Extension->Timer);
    KeInitializeDpc(&Extension->Dpc, DataArrives, Extension);
    IoCsqInitialize(&Extension->Queue, CsqInsert, CsqRemove, CsqPeek, CsqAcquire, CsqRelease, CsqComplete);
    DriverObject->MajorFunction[IRP_MJ_READ] = DispatchRead;
    DriverObject->DriverUnload = Unload;
    Status = Test(DeviceObject);
    if (!NT_SUCCESS(Status)) {
        Unload(DriverObject);
    }
    return Status;
}

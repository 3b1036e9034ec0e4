/* packet.c: StartIo: one request of a device after another, handed to its driver at DISPATCH_LEVEL. */
#include "iop.h"

static VOID StartIo(PDEVICE_OBJECT Device, PIRP Irp) {
    Device->DriverObject->DriverStartIo(Device, Irp);
}

/* The cancel lock is held if HoldsCancelLock, and is released. */
static VOID StartCurrent(PDEVICE_OBJECT Device, PIRP Irp, BOOLEAN HoldsCancelLock, KIRQL CancelIrql) {
    Device->CurrentIrp = Irp;
    if (HoldsCancelLock) {
        if (IopGetDeviceExtension(Device)->IsStartIoNonCancelable) {
            IoSetCancelRoutine(Irp, NULL);
        }
        IoReleaseCancelSpinLock(CancelIrql);
    }
    StartIo(Device, Irp);
}

/* Starts the request or queues it, behind all keys that are not greater if there is a Key. CancelFunction becomes its
 * cancel routine; if it has been cancelled already it is called at once. <= DISPATCH_LEVEL. ntddk.h: IoStartPacket. */
VOID IoStartPacket(PDEVICE_OBJECT DeviceObject, PIRP Irp, PULONG Key, PDRIVER_CANCEL CancelFunction) {
    KIRQL OldIrql = KfRaiseIrql(DISPATCH_LEVEL), CancelIrql = DISPATCH_LEVEL;
    PKDEVICE_QUEUE_ENTRY Entry = &Irp->Tail.Overlay.DeviceQueueEntry;
    if (CancelFunction != NULL) {
        IoAcquireCancelSpinLock(&CancelIrql);
        IoSetCancelRoutine(Irp, CancelFunction);
    }
    BOOLEAN IsQueued = Key != NULL ? KeInsertByKeyDeviceQueue(&DeviceObject->DeviceQueue, Entry, *Key)
                                   : KeInsertDeviceQueue(&DeviceObject->DeviceQueue, Entry);
    if (!IsQueued) {
        StartCurrent(DeviceObject, Irp, CancelFunction != NULL, CancelIrql);
    } else if (CancelFunction != NULL && Irp->Cancel && IoSetCancelRoutine(Irp, NULL) != NULL) {
        Irp->CancelIrql = CancelIrql;
        CancelFunction(DeviceObject, Irp);
    } else if (CancelFunction != NULL) {
        IoReleaseCancelSpinLock(CancelIrql);
    }
    KeLowerIrql(OldIrql);
}

static VOID StartNext(PDEVICE_OBJECT Device, BOOLEAN IsCancelable, const ULONG *Key) {
    KIRQL CancelIrql = DISPATCH_LEVEL;
    if (IsCancelable) {
        IoAcquireCancelSpinLock(&CancelIrql);
    }
    Device->CurrentIrp = NULL;
    PKDEVICE_QUEUE_ENTRY Entry =
        Key != NULL ? KeRemoveByKeyDeviceQueue(&Device->DeviceQueue, *Key) : KeRemoveDeviceQueue(&Device->DeviceQueue);
    if (Entry != NULL) {
        PIRP Irp = CONTAINING_RECORD(Entry, IRP, Tail.Overlay.DeviceQueueEntry);
        StartCurrent(Device, Irp, IsCancelable, CancelIrql);
    } else if (IsCancelable) {
        IoReleaseCancelSpinLock(CancelIrql);
    }
}

/* A StartIo that completes at once and calls this again would recurse; with the deferred attribute the outermost call
 * loops in place of the inner ones. */
static VOID StartNextOrDefer(PDEVICE_OBJECT Device, BOOLEAN IsCancelable, const ULONG *Key) {
    PIOP_DEVICE Extension = IopGetDeviceExtension(Device);
    if (!Extension->IsStartIoDeferred) {
        StartNext(Device, IsCancelable, Key);
    } else if (InterlockedIncrement(&Extension->StartIoCount) == 1) {
        do {
            StartNext(Device, IsCancelable, Key);
        } while (InterlockedDecrement(&Extension->StartIoCount) > 0);
    }
}

/* DISPATCH_LEVEL. The current request is done: starts the next one, if any. ntddk.h: IoStartNextPacket. */
VOID IoStartNextPacket(PDEVICE_OBJECT DeviceObject, BOOLEAN Cancelable) {
    StartNextOrDefer(DeviceObject, Cancelable, NULL);
}

/* DISPATCH_LEVEL. The next one by its key. ntddk.h: IoStartNextPacketByKey. */
VOID IoStartNextPacketByKey(PDEVICE_OBJECT DeviceObject, BOOLEAN Cancelable, ULONG Key) {
    StartNextOrDefer(DeviceObject, Cancelable, &Key);
}

/* Before the first request. ntddk.h: IoSetStartIoAttributes. */
VOID IoSetStartIoAttributes(PDEVICE_OBJECT DeviceObject, BOOLEAN DeferredStartIo, BOOLEAN NonCancelable) {
    IopGetDeviceExtension(DeviceObject)->IsStartIoDeferred = DeferredStartIo;
    IopGetDeviceExtension(DeviceObject)->IsStartIoNonCancelable = NonCancelable;
}

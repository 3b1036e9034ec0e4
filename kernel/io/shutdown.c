/* shutdown.c: the devices that get IRP_MJ_SHUTDOWN before an orderly end, last registered first. */
#include "iop.h"

static LIST_ENTRY Registered = {&Registered, &Registered}; /* both guarded by IopDeviceLock */
static LIST_ENTRY LastChance = {&LastChance, &LastChance};

static NTSTATUS Register(PDEVICE_OBJECT Device, PLIST_ENTRY List) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopDeviceLock);
    if (IsListEmpty(&IopGetDeviceExtension(Device)->ShutdownEntry)) {
        InsertHeadList(List, &IopGetDeviceExtension(Device)->ShutdownEntry);
        Device->Flags |= DO_SHUTDOWN_REGISTERED;
    }
    KeReleaseSpinLock(&IopDeviceLock, OldIrql);
    return STATUS_SUCCESS;
}

/* PASSIVE_LEVEL. wdm.h: IoRegisterShutdownNotification. */
NTSTATUS IoRegisterShutdownNotification(PDEVICE_OBJECT DeviceObject) {
    return Register(DeviceObject, &Registered);
}

/* PASSIVE_LEVEL. wdm.h: IoRegisterLastChanceShutdownNotification. */
NTSTATUS IoRegisterLastChanceShutdownNotification(PDEVICE_OBJECT DeviceObject) {
    return Register(DeviceObject, &LastChance);
}

/* PASSIVE_LEVEL. wdm.h: IoUnregisterShutdownNotification. */
VOID IoUnregisterShutdownNotification(PDEVICE_OBJECT DeviceObject) {
    PLIST_ENTRY Entry = &IopGetDeviceExtension(DeviceObject)->ShutdownEntry;
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopDeviceLock);
    RemoveEntryList(Entry);
    InitializeListHead(Entry);
    DeviceObject->Flags &= ~DO_SHUTDOWN_REGISTERED;
    KeReleaseSpinLock(&IopDeviceLock, OldIrql);
}

/* The first device of the list, taken off it, with a reference; NULL: none. */
static PDEVICE_OBJECT TakeFirst(PLIST_ENTRY List) {
    PDEVICE_OBJECT Device = NULL;
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopDeviceLock);
    if (!IsListEmpty(List)) {
        PIOP_DEVICE Extension = CONTAINING_RECORD(RemoveHeadList(List), IOP_DEVICE, ShutdownEntry);
        InitializeListHead(&Extension->ShutdownEntry);
        Device = Extension->Device;
        ObfReferenceObject(Device);
    }
    KeReleaseSpinLock(&IopDeviceLock, OldIrql);
    return Device;
}

static VOID Notify(PLIST_ENTRY List) {
    PDEVICE_OBJECT Device;
    while ((Device = TakeFirst(List)) != NULL) {
        IO_STATUS_BLOCK Result;
        PDEVICE_OBJECT Top = IoGetAttachedDevice(Device);
        PIRP Irp = IopAllocateFileIrp(NULL, Top, IRP_MJ_SHUTDOWN);
        if (Irp != NULL) {
            IopSendAndWait(Top, Irp, &Result);
        }
        ObfDereferenceObject(Device);
    }
}

/* See io.h. */
VOID IoShutdownSystem(VOID) {
    Notify(&Registered);
    Notify(&LastChance);
}

/* See io.h. */
BOOLEAN IoHasShutdownNotification(VOID) {
    return !IsListEmpty(&Registered) || !IsListEmpty(&LastChance);
}

static VOID WatchObject(PVOID Object, IOP_OBJECT_EVENT Event) {
    if (Event == DeviceCreated) {
        InitializeListHead(&IopGetDeviceExtension(Object)->ShutdownEntry);
    } else if (Event == DeviceDeleted) {
        IoUnregisterShutdownNotification(Object);
    }
}
IOP_OBJECT_WATCH(WatchObject);

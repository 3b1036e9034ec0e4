/* devicequeue.c: the queue of a device that handles one request at a time: free, or busy with waiters.
 *
 * An insert into a free queue queues nothing: the caller starts its request, and the queue is busy. A remove from an
 * empty busy queue makes it free. */
#include "iop.h"

#define DEVICE_QUEUE_OBJECT 20

static PKDEVICE_QUEUE_ENTRY EntryOf(PLIST_ENTRY Link) {
    return CONTAINING_RECORD(Link, KDEVICE_QUEUE_ENTRY, DeviceListEntry);
}

/* Any IRQL. wdm.h: KeInitializeDeviceQueue. */
VOID KeInitializeDeviceQueue(PKDEVICE_QUEUE DeviceQueue) {
    DeviceQueue->Type = DEVICE_QUEUE_OBJECT;
    DeviceQueue->Size = sizeof(*DeviceQueue);
    InitializeListHead(&DeviceQueue->DeviceListHead);
    KeInitializeSpinLock(&DeviceQueue->Lock);
    DeviceQueue->Busy = FALSE;
}

/* Before the entry that Link leads to, or FALSE: the queue was free, and the caller has it now. Lock held. */
static BOOLEAN Insert(PKDEVICE_QUEUE Queue, PLIST_ENTRY Before, PKDEVICE_QUEUE_ENTRY Entry) {
    Entry->Inserted = Queue->Busy;
    if (Queue->Busy) {
        InsertTailList(Before, &Entry->DeviceListEntry);
    }
    Queue->Busy = TRUE;
    return Entry->Inserted;
}

/* <= DISPATCH_LEVEL. At the end; FALSE: the device was free. wdm.h: KeInsertDeviceQueue. */
BOOLEAN KeInsertDeviceQueue(PKDEVICE_QUEUE DeviceQueue, PKDEVICE_QUEUE_ENTRY DeviceQueueEntry) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&DeviceQueue->Lock);
    BOOLEAN IsInserted = Insert(DeviceQueue, &DeviceQueue->DeviceListHead, DeviceQueueEntry);
    KeReleaseSpinLock(&DeviceQueue->Lock, OldIrql);
    return IsInserted;
}

/* <= DISPATCH_LEVEL. Behind all keys that are not greater. wdm.h: KeInsertByKeyDeviceQueue. */
BOOLEAN KeInsertByKeyDeviceQueue(PKDEVICE_QUEUE DeviceQueue, PKDEVICE_QUEUE_ENTRY DeviceQueueEntry, ULONG SortKey) {
    PLIST_ENTRY Head = &DeviceQueue->DeviceListHead;
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&DeviceQueue->Lock);
    PLIST_ENTRY Before = Head->Flink;
    while (Before != Head && EntryOf(Before)->SortKey <= SortKey) {
        Before = Before->Flink;
    }
    DeviceQueueEntry->SortKey = SortKey;
    BOOLEAN IsInserted = Insert(DeviceQueue, Before, DeviceQueueEntry);
    KeReleaseSpinLock(&DeviceQueue->Lock, OldIrql);
    return IsInserted;
}

/* Takes the entry at Link; the end of the list: the queue is free. Lock held. */
static PKDEVICE_QUEUE_ENTRY Take(PKDEVICE_QUEUE Queue, PLIST_ENTRY Link) {
    if (Link == &Queue->DeviceListHead) {
        Queue->Busy = FALSE;
        return NULL;
    }
    RemoveEntryList(Link);
    EntryOf(Link)->Inserted = FALSE;
    return EntryOf(Link);
}

/* <= DISPATCH_LEVEL. The first entry; NULL: none, and the device is free. wdm.h: KeRemoveDeviceQueue. */
PKDEVICE_QUEUE_ENTRY KeRemoveDeviceQueue(PKDEVICE_QUEUE DeviceQueue) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&DeviceQueue->Lock);
    PKDEVICE_QUEUE_ENTRY Entry = Take(DeviceQueue, DeviceQueue->DeviceListHead.Flink);
    KeReleaseSpinLock(&DeviceQueue->Lock, OldIrql);
    return Entry;
}

/* <= DISPATCH_LEVEL. The first entry whose key is not less, round to the first of all. wdm.h: KeRemoveByKeyDeviceQueue.
 */
PKDEVICE_QUEUE_ENTRY KeRemoveByKeyDeviceQueue(PKDEVICE_QUEUE DeviceQueue, ULONG SortKey) {
    PLIST_ENTRY Head = &DeviceQueue->DeviceListHead;
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&DeviceQueue->Lock);
    PLIST_ENTRY Link = Head->Flink;
    while (Link != Head && EntryOf(Link)->SortKey < SortKey) {
        Link = Link->Flink;
    }
    PKDEVICE_QUEUE_ENTRY Entry = Take(DeviceQueue, Link == Head ? Head->Flink : Link);
    KeReleaseSpinLock(&DeviceQueue->Lock, OldIrql);
    return Entry;
}

/* <= DISPATCH_LEVEL. FALSE: it was not queued (any more). wdm.h: KeRemoveEntryDeviceQueue. */
BOOLEAN KeRemoveEntryDeviceQueue(PKDEVICE_QUEUE DeviceQueue, PKDEVICE_QUEUE_ENTRY DeviceQueueEntry) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&DeviceQueue->Lock);
    BOOLEAN WasInserted = DeviceQueueEntry->Inserted;
    if (WasInserted) {
        Take(DeviceQueue, &DeviceQueueEntry->DeviceListEntry);
    }
    KeReleaseSpinLock(&DeviceQueue->Lock, OldIrql);
    return WasInserted;
}

static VOID WatchObject(PVOID Object, IOP_OBJECT_EVENT Event) {
    if (Event == DeviceCreated) {
        KeInitializeDeviceQueue(&((PDEVICE_OBJECT)Object)->DeviceQueue);
    }
}
IOP_OBJECT_WATCH(WatchObject);

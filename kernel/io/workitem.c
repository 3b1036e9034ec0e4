/* workitem.c: work items that reference their device, so that the driver's code stays until they run.
 *
 * The item is a WORK_QUEUE_ITEM of ex/work.c with the device and the driver's routine behind it. The routine may free
 * or queue the item itself, so nothing of it is touched once the routine has been called. */
#include "iop.h"
#include <ex.h>

typedef struct _IO_WORKITEM {
    WORK_QUEUE_ITEM Item;
    PVOID IoObject; /* a device object, or a driver object */
    PIO_WORKITEM_ROUTINE Routine;
    PIO_WORKITEM_ROUTINE_EX RoutineEx;
    PVOID Context;
    volatile LONG IsQueued;
} IO_WORKITEM;

/* The worker routine of every item; a bugcheck at its return names it. PASSIVE_LEVEL. */
static VOID IopProcessWorkItem(PVOID Parameter) {
    PIO_WORKITEM Work = Parameter;
    /* Once it is not queued, it may be queued for something else, or freed. */
    PVOID IoObject = Work->IoObject, Context = Work->Context;
    PIO_WORKITEM_ROUTINE Routine = Work->Routine;
    PIO_WORKITEM_ROUTINE_EX RoutineEx = Work->RoutineEx;
    __atomic_store_n(&Work->IsQueued, FALSE, __ATOMIC_RELEASE);
    if (RoutineEx != NULL) {
        RoutineEx(IoObject, Context, Work);
    } else {
        Routine(IoObject, Context);
    }
    ObfDereferenceObject(IoObject);
}

/* <= DISPATCH_LEVEL. Bytes of an item, for IoInitializeWorkItem. wdm.h: IoSizeofWorkItem. */
ULONG IoSizeofWorkItem(VOID) {
    return sizeof(IO_WORKITEM);
}

/* IoObject is a device or driver object; IoWorkItem is IoSizeofWorkItem() bytes of nonpaged memory. Any IRQL.
 * wdm.h: IoInitializeWorkItem. */
VOID IoInitializeWorkItem(PVOID IoObject, PIO_WORKITEM IoWorkItem) {
    *IoWorkItem = (IO_WORKITEM){.IoObject = IoObject};
    ExInitializeWorkItem(&IoWorkItem->Item, IopProcessWorkItem, IoWorkItem);
}

/* WORKER_INVALID (2; item; its routine; 0): it would be freed or reused in a queue. */
static VOID CheckIdle(PIO_WORKITEM Work) {
    if (__atomic_load_n(&Work->IsQueued, __ATOMIC_ACQUIRE)) {
        KeBugCheckEx(WORKER_INVALID, 2, (ULONG_PTR)Work,
                     Work->RoutineEx ? (ULONG_PTR)Work->RoutineEx : (ULONG_PTR)Work->Routine, 0);
    }
}

/* The item is not queued: 0xE4 (2) otherwise. wdm.h: IoUninitializeWorkItem. */
VOID IoUninitializeWorkItem(PIO_WORKITEM IoWorkItem) {
    CheckIdle(IoWorkItem);
}

/* <= DISPATCH_LEVEL. NULL: no memory, or DeviceObject is no device object. wdm.h: IoAllocateWorkItem. */
PIO_WORKITEM IoAllocateWorkItem(PDEVICE_OBJECT DeviceObject) {
    if (DeviceObject == NULL || DeviceObject->Type != IO_TYPE_DEVICE) {
        return NULL;
    }
    PIO_WORKITEM Work = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Work), IOP_TAG('I', 'o', 'W', 'I'));
    if (Work != NULL) {
        IoInitializeWorkItem(DeviceObject, Work);
    }
    return Work;
}

/* <= DISPATCH_LEVEL. The item is not queued: 0xE4 (2) otherwise; its own routine may free it. wdm.h: IoFreeWorkItem. */
VOID IoFreeWorkItem(PIO_WORKITEM IoWorkItem) {
    CheckIdle(IoWorkItem);
    ExFreePoolWithTag(IoWorkItem, IOP_TAG('I', 'o', 'W', 'I'));
}

/* FALSE: it is queued already. */
static BOOLEAN Queue(PIO_WORKITEM Work, PIO_WORKITEM_ROUTINE Routine, PIO_WORKITEM_ROUTINE_EX RoutineEx,
                     WORK_QUEUE_TYPE QueueType, PVOID Context) {
    if (__atomic_exchange_n(&Work->IsQueued, TRUE, __ATOMIC_ACQUIRE)) {
        return FALSE;
    }
    Work->Routine = Routine;
    Work->RoutineEx = RoutineEx;
    Work->Context = Context;
    ObfReferenceObject(Work->IoObject);
    ExQueueWorkItem(&Work->Item, QueueType);
    return TRUE;
}

static VOID QueueOrDie(PIO_WORKITEM Work, PIO_WORKITEM_ROUTINE Routine, PIO_WORKITEM_ROUTINE_EX RoutineEx,
                       WORK_QUEUE_TYPE QueueType, PVOID Context) {
    if ((LONG_PTR)(Routine ? (PVOID)Routine : (PVOID)RoutineEx) >= 0) {
        KeBugCheckEx(WORKER_INVALID, 7, (ULONG_PTR)Work, (ULONG_PTR)Routine, 0);
    }
    if (!Queue(Work, Routine, RoutineEx, QueueType, Context)) {
        KeBugCheckEx(WORKER_INVALID, 1, (ULONG_PTR)Work, (ULONG_PTR)(Routine ? (PVOID)Routine : (PVOID)RoutineEx), 0);
    }
}

/* <= DISPATCH_LEVEL. WorkerRoutine (DeviceObject, Context) runs once, at PASSIVE_LEVEL. 0xE4 for an item that is queued
 * already, or that ExQueueWorkItem refuses. wdm.h: IoQueueWorkItem. */
VOID IoQueueWorkItem(PIO_WORKITEM IoWorkItem, PIO_WORKITEM_ROUTINE WorkerRoutine, WORK_QUEUE_TYPE QueueType,
                     PVOID Context) {
    QueueOrDie(IoWorkItem, WorkerRoutine, NULL, QueueType, Context);
}

/* As IoQueueWorkItem; the routine gets the item, too. wdm.h: IoQueueWorkItemEx. */
VOID IoQueueWorkItemEx(PIO_WORKITEM IoWorkItem, PIO_WORKITEM_ROUTINE_EX WorkerRoutine, WORK_QUEUE_TYPE QueueType,
                       PVOID Context) {
    QueueOrDie(IoWorkItem, NULL, WorkerRoutine, QueueType, Context);
}

/* As IoQueueWorkItemEx, but FALSE for an item that is queued already. wdm.h: IoTryQueueWorkItem. */
BOOLEAN IoTryQueueWorkItem(PIO_WORKITEM IoWorkItem, PIO_WORKITEM_ROUTINE_EX WorkerRoutine, WORK_QUEUE_TYPE QueueType,
                           PVOID Context) {
    return Queue(IoWorkItem, NULL, WorkerRoutine, QueueType, Context);
}

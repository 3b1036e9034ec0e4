/* csq.c: cancel-safe queues: a driver's queue of requests, with cancellation's races solved once.
 *
 * The driver brings six routines: insert, remove, peek, lock, unlock, complete. Taking a request's cancel routine away
 * makes one the request's owner: a remover that gets it removes the request, and one that gets NULL leaves it to the
 * cancellation, which waits for the queue's lock and then finds the request still in the queue.
 *
 *      Irp->Tail.Overlay.DriverContext[3]  ->  IO_CSQ_IRP_CONTEXT  ->  IO_CSQ      inserted with a context
 *      Irp->Tail.Overlay.DriverContext[3]  ->  IO_CSQ                              without; Type says which it is */
#include "iop.h"

#define CSQ_LINK(Irp) ((Irp)->Tail.Overlay.DriverContext[3])

static NTSTATUS Initialize(PIO_CSQ Csq, ULONG Type, PVOID Insert, PIO_CSQ_REMOVE_IRP Remove, PIO_CSQ_PEEK_NEXT_IRP Peek,
                           PIO_CSQ_ACQUIRE_LOCK Acquire, PIO_CSQ_RELEASE_LOCK Release,
                           PIO_CSQ_COMPLETE_CANCELED_IRP Complete) {
    *Csq = (IO_CSQ){.Type = Type,
                    .CsqInsertIrp = (PIO_CSQ_INSERT_IRP)Insert,
                    .CsqRemoveIrp = Remove,
                    .CsqPeekNextIrp = Peek,
                    .CsqAcquireLock = Acquire,
                    .CsqReleaseLock = Release,
                    .CsqCompleteCanceledIrp = Complete};
    return STATUS_SUCCESS;
}

/* Any IRQL. wdm.h: IoCsqInitialize. */
NTSTATUS IoCsqInitialize(PIO_CSQ Csq, PIO_CSQ_INSERT_IRP CsqInsertIrp, PIO_CSQ_REMOVE_IRP CsqRemoveIrp,
                         PIO_CSQ_PEEK_NEXT_IRP CsqPeekNextIrp, PIO_CSQ_ACQUIRE_LOCK CsqAcquireLock,
                         PIO_CSQ_RELEASE_LOCK CsqReleaseLock, PIO_CSQ_COMPLETE_CANCELED_IRP CsqCompleteCanceledIrp) {
    return Initialize(Csq, IO_TYPE_CSQ, (PVOID)CsqInsertIrp, CsqRemoveIrp, CsqPeekNextIrp, CsqAcquireLock,
                      CsqReleaseLock, CsqCompleteCanceledIrp);
}

/* Any IRQL. The insert routine may refuse. wdm.h: IoCsqInitializeEx. */
NTSTATUS IoCsqInitializeEx(PIO_CSQ Csq, PIO_CSQ_INSERT_IRP_EX CsqInsertIrp, PIO_CSQ_REMOVE_IRP CsqRemoveIrp,
                           PIO_CSQ_PEEK_NEXT_IRP CsqPeekNextIrp, PIO_CSQ_ACQUIRE_LOCK CsqAcquireLock,
                           PIO_CSQ_RELEASE_LOCK CsqReleaseLock, PIO_CSQ_COMPLETE_CANCELED_IRP CsqCompleteCanceledIrp) {
    return Initialize(Csq, IO_TYPE_CSQ_EX, (PVOID)CsqInsertIrp, CsqRemoveIrp, CsqPeekNextIrp, CsqAcquireLock,
                      CsqReleaseLock, CsqCompleteCanceledIrp);
}

/* The queue's lock is held. */
static VOID Forget(PIRP Irp) {
    PIO_CSQ_IRP_CONTEXT Context = CSQ_LINK(Irp);
    if (Context->Type == IO_TYPE_CSQ_IRP_CONTEXT) {
        Context->Irp = NULL;
    }
    CSQ_LINK(Irp) = NULL;
}

/* The queue's lock is held; the cancel routine is gone. */
static VOID Remove(PIO_CSQ Csq, PIRP Irp) {
    Csq->CsqRemoveIrp(Csq, Irp);
    Forget(Irp);
}

static VOID CancelQueuedIrp(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    KIRQL Irql;
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    PIO_CSQ Csq = CSQ_LINK(Irp);
    if (Csq->Type == IO_TYPE_CSQ_IRP_CONTEXT) {
        Csq = ((PIO_CSQ_IRP_CONTEXT)Csq)->Csq;
    }
    Csq->CsqAcquireLock(Csq, &Irql);
    Remove(Csq, Irp);
    Csq->CsqReleaseLock(Csq, Irql);
    Csq->CsqCompleteCanceledIrp(Csq, Irp);
}

/* <= DISPATCH_LEVEL, as the driver's lock allows. Context, which may be NULL, is the driver's for a later IoCsqRemoveIrp.
 * The request is pending, and may be gone on return: cancelled, if it was already. The status is that of the driver's
 * insert routine; when that refuses, the request is the caller's and not pending. wdm.h: IoCsqInsertIrpEx. */
NTSTATUS IoCsqInsertIrpEx(PIO_CSQ Csq, PIRP Irp, PIO_CSQ_IRP_CONTEXT Context, PVOID InsertContext) {
    KIRQL Irql;
    NTSTATUS Status = STATUS_SUCCESS;
    CSQ_LINK(Irp) = Csq;
    if (Context != NULL) {
        *Context = (IO_CSQ_IRP_CONTEXT){.Type = IO_TYPE_CSQ_IRP_CONTEXT, .Irp = Irp, .Csq = Csq};
        CSQ_LINK(Irp) = Context;
    }
    Csq->CsqAcquireLock(Csq, &Irql);
    if (Csq->Type == IO_TYPE_CSQ_EX) {
        Status = ((PIO_CSQ_INSERT_IRP_EX)(PVOID)Csq->CsqInsertIrp)(Csq, Irp, InsertContext);
    } else {
        Csq->CsqInsertIrp(Csq, Irp);
    }
    BOOLEAN IsCancelled = FALSE;
    if (NT_SUCCESS(Status)) {
        IoMarkIrpPending(Irp);
        IoSetCancelRoutine(Irp, CancelQueuedIrp);
        IsCancelled = Irp->Cancel && IoSetCancelRoutine(Irp, NULL) != NULL;
    } else {
        Forget(Irp);
    }
    if (IsCancelled) {
        Remove(Csq, Irp);
    }
    Csq->CsqReleaseLock(Csq, Irql);
    if (IsCancelled) {
        Csq->CsqCompleteCanceledIrp(Csq, Irp);
    }
    return Status;
}

/* The same without a status. wdm.h: IoCsqInsertIrp. */
VOID IoCsqInsertIrp(PIO_CSQ Csq, PIRP Irp, PIO_CSQ_IRP_CONTEXT Context) {
    IoCsqInsertIrpEx(Csq, Irp, Context, NULL);
}

/* <= DISPATCH_LEVEL. The request that was inserted with Context, or NULL: it is gone, or about to be cancelled.
 * wdm.h: IoCsqRemoveIrp. */
PIRP IoCsqRemoveIrp(PIO_CSQ Csq, PIO_CSQ_IRP_CONTEXT Context) {
    KIRQL Irql;
    Csq->CsqAcquireLock(Csq, &Irql);
    PIRP Irp = Context->Irp;
    if (Irp != NULL && IoSetCancelRoutine(Irp, NULL) == NULL) {
        Irp = NULL;
    }
    if (Irp != NULL) {
        Remove(Csq, Irp);
    }
    Csq->CsqReleaseLock(Csq, Irql);
    return Irp;
}

/* <= DISPATCH_LEVEL. The first request that the driver's peek routine finds with PeekContext and that is not about to be
 * cancelled; NULL: none. wdm.h: IoCsqRemoveNextIrp. */
PIRP IoCsqRemoveNextIrp(PIO_CSQ Csq, PVOID PeekContext) {
    KIRQL Irql;
    Csq->CsqAcquireLock(Csq, &Irql);
    PIRP Irp = Csq->CsqPeekNextIrp(Csq, NULL, PeekContext);
    while (Irp != NULL && IoSetCancelRoutine(Irp, NULL) == NULL) {
        Irp = Csq->CsqPeekNextIrp(Csq, Irp, PeekContext);
    }
    if (Irp != NULL) {
        Remove(Csq, Irp);
    }
    Csq->CsqReleaseLock(Csq, Irql);
    return Irp;
}

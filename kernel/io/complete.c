/* complete.c: the way back up: completion routines, then the requester's buffer, status and event.
 *
 * A completion routine that returns STATUS_MORE_PROCESSING_REQUIRED takes the IRP over: it must not be touched from
 * then on, since that driver may have freed it already. The walk goes on when it calls IofCompleteRequest again.
 *
 * The last step writes to the requester's memory, which may be paged out, but completion usually comes from a DPC. So
 * it happens in the requesting thread: one that waits inside the I/O manager does it when its event is set
 * (request.c); for all others a special kernel APC comes to the thread. A thread that keeps APCs out, at APC_LEVEL or
 * in a guarded region, waits in vain for the event of such a request, as on NT. */
#include "iop.h"

static BOOLEAN WantsRoutine(const IO_STACK_LOCATION *Stack, PIRP Irp) {
    if (Irp->Cancel && (Stack->Control & SL_INVOKE_ON_CANCEL)) {
        return TRUE;
    }
    return (Stack->Control & (NT_SUCCESS(Irp->IoStatus.Status) ? SL_INVOKE_ON_SUCCESS : SL_INVOKE_ON_ERROR)) != 0;
}

/* The routine in Stack was set by the driver one location above, and gets that driver's device; the originator has
 * none. */
static NTSTATUS CallRoutine(PIO_STACK_LOCATION Stack, PIRP Irp) {
    PIO_COMPLETION_ROUTINE Routine = Stack->CompletionRoutine;
    PVOID Context = Stack->Context;
    BOOLEAN IsOriginator = Irp->CurrentLocation == Irp->StackCount + 1;
    Stack->Control = 0;
    Stack->CompletionRoutine = NULL;
    return Routine(IsOriginator ? NULL : IoGetCurrentIrpStackLocation(Irp)->DeviceObject, Irp, Context);
}

/* FALSE: a driver has taken the IRP over. Ends one beyond a new IRP's location, so that a second completion shows. */
static BOOLEAN WalkUp(PIRP Irp) {
    while (Irp->CurrentLocation <= Irp->StackCount) {
        PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
        Irp->PendingReturned = (Stack->Control & SL_PENDING_RETURNED) != 0;
        Irp->CurrentLocation++;
        Irp->Tail.Overlay.CurrentStackLocation++;
        if (Irp->CurrentLocation > Irp->StackCount) {
            IopForgetSentIrp(Irp);
        }
        if (WantsRoutine(Stack, Irp)) {
            if (CallRoutine(Stack, Irp) == STATUS_MORE_PROCESSING_REQUIRED) {
                return FALSE;
            }
        } else if (Irp->PendingReturned && Irp->CurrentLocation <= Irp->StackCount) {
            IoMarkIrpPending(Irp);
        }
    }
    Irp->CurrentLocation++;
    return TRUE;
}

/* A part of a request is done: it goes, and the last one takes the whole with it. */
static VOID CompletePart(PIRP Irp, CCHAR PriorityBoost) {
    PIRP Master = Irp->AssociatedIrp.MasterIrp;
    IopFreeMdls(Irp);
    IoFreeIrp(Irp);
    if (InterlockedDecrement(&Master->AssociatedIrp.IrpCount) == 0) {
        IofCompleteRequest(Master, PriorityBoost);
    }
}

/* Sets the requester's event, or else the file's. This comes last: once it is set, the requester may return, and its
 * event and status block go with it. */
static VOID SignalRequester(PIRP Irp, PFILE_OBJECT File) {
    PKEVENT Event = Irp->UserEvent;
    BOOLEAN HoldsEvent = (Irp->Reserved & IOP_IRP_HOLDS_EVENT) != 0;
    if (Event != NULL && HoldsEvent) {
        ObfReferenceObject(Event);
    }
    if (File != NULL) {
        File->FinalStatus = Irp->IoStatus.Status;
    }
    if (Event == NULL && File != NULL && (Irp->Reserved & IOP_IRP_FROM_ZW)) {
        KeSetEvent(&File->Event, IO_NO_INCREMENT, FALSE);
    }
    IoFreeIrp(Irp);
    if (Event != NULL) {
        KeSetEvent(Event, IO_NO_INCREMENT, FALSE);
        if (HoldsEvent) {
            ObDereferenceObjectDeferDelete(Event);
        }
    }
}

static VOID FreeAfterUserApc(PKAPC Apc, PKNORMAL_ROUTINE *NormalRoutine, PVOID *NormalContext, PVOID *Argument1,
                             PVOID *Argument2) {
    UNREFERENCED_PARAMETER(NormalRoutine);
    UNREFERENCED_PARAMETER(NormalContext);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    ExFreePoolWithTag(Apc, TAG_IRP);
}

static VOID RundownUserApc(PKAPC Apc) {
    ExFreePoolWithTag(Apc, TAG_IRP);
}

/* The ApcRoutine of a Zw call: a normal APC of this thread. Without memory for it the routine is not called. */
static VOID QueueUserApc(PIRP Irp) {
    PIO_APC_ROUTINE Routine = Irp->Overlay.AsynchronousParameters.UserApcRoutine;
    PKAPC Apc = Routine == NULL ? NULL : ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Apc), TAG_IRP);
    if (Apc == NULL) {
        return;
    }
    KeInitializeApc(Apc, KiCurrentThread(), OriginalApcEnvironment, FreeAfterUserApc, RundownUserApc,
                    (PKNORMAL_ROUTINE)(PVOID)Routine, KernelMode, Irp->Overlay.AsynchronousParameters.UserApcContext);
    if (!KeInsertQueueApc(Apc, Irp->UserIosb, NULL, IO_NO_INCREMENT)) {
        ExFreePoolWithTag(Apc, TAG_IRP);
    }
}

VOID (*IoRequesterHook)(PIRP Irp);

/* In the requester's thread, at APC_LEVEL. Argument1: the file object. */
static VOID FinishInRequester(PKAPC Apc, PKNORMAL_ROUTINE *NormalRoutine, PVOID *NormalContext, PVOID *Argument1,
                              PVOID *Argument2) {
    UNREFERENCED_PARAMETER(NormalRoutine);
    UNREFERENCED_PARAMETER(NormalContext);
    UNREFERENCED_PARAMETER(Argument2);
    PIRP Irp = CONTAINING_RECORD(Apc, IRP, Tail.Apc);
    PKTHREAD Thread = Apc->Thread;
    PFILE_OBJECT File = *Argument1;
    Irp->Tail.Overlay.Thread = (PETHREAD)Thread; /* the APC lay over these two */
    Irp->Tail.Overlay.OriginalFileObject = File;
    if (NT_ERROR(Irp->IoStatus.Status) && !Irp->PendingReturned) {
        IopDropIrp(Irp); /* IoCallDriver has returned the error: that is all */
        return;
    }
    if (IoRequesterHook != NULL) {
        IoRequesterHook(Irp);
    }
    IopReturnBuffers(Irp);
    if (Irp->UserIosb) {
        IopReturnStatus(Irp, Irp->UserIosb);
    }
    QueueUserApc(Irp);
    SignalRequester(Irp, File);
}

/* The requester has ended before its request. */
static VOID DropInRundown(PKAPC Apc) {
    PIRP Irp = CONTAINING_RECORD(Apc, IRP, Tail.Apc);
    Irp->Tail.Overlay.Thread = (PETHREAD)Apc->Thread;
    Irp->Tail.Overlay.OriginalFileObject = Apc->SystemArgument1;
    IopDropIrp(Irp);
}

static VOID SendToRequester(PIRP Irp) {
    PKTHREAD Thread = (PKTHREAD)Irp->Tail.Overlay.Thread;
    PFILE_OBJECT File = Irp->Tail.Overlay.OriginalFileObject;
    KeInitializeApc(&Irp->Tail.Apc, Thread, OriginalApcEnvironment, FinishInRequester, DropInRundown, NULL, KernelMode,
                    NULL);
    if (!KeInsertQueueApc(&Irp->Tail.Apc, File, NULL, IO_NO_INCREMENT)) {
        Irp->Tail.Apc.SystemArgument1 = File;
        DropInRundown(&Irp->Tail.Apc);
    }
}

/* <= DISPATCH_LEVEL, no spin lock held: routines of other drivers run. The IRP is no longer the caller's.
 * Completed before: MULTIPLE_IRP_COMPLETE_REQUESTS. wdm.h: IoCompleteRequest. */
VOID IofCompleteRequest(PIRP Irp, CCHAR PriorityBoost) {
    if (Irp->Type != IO_TYPE_IRP || Irp->CurrentLocation > Irp->StackCount + 1) {
        KeBugCheckEx(MULTIPLE_IRP_COMPLETE_REQUESTS, (ULONG_PTR)Irp, 0, 0, 0);
    }
    NT_ASSERT(Irp->IoStatus.Status != STATUS_PENDING);
    if (!WalkUp(Irp)) {
        return;
    }
    if (Irp->Flags & IRP_ASSOCIATED_IRP) {
        CompletePart(Irp, PriorityBoost);
    } else if (!IopBeginThreadCompletion(Irp)) {
        IopDropIrp(Irp);
    } else if (Irp->Reserved & IOP_IRP_WAITED) {
        KeSetEvent(Irp->UserEvent, PriorityBoost, FALSE);
    } else if (Irp->Tail.Overlay.Thread != NULL) {
        IopFreeMdls(Irp);
        SendToRequester(Irp);
    } else {
        IopFreeMdls(Irp);
        IoFreeIrp(Irp);
    }
}

/* complete.c: the way back up: completion routines, then the requester's buffer, status and event.
 *
 * A completion routine that returns STATUS_MORE_PROCESSING_REQUIRED takes the IRP over: nothing of it may be touched
 * from then on, for that driver may have freed it already. The walk goes on when it calls IofCompleteRequest again.
 *
 * The last step writes to memory of the requester, which may be paged out, but completion usually comes from a DPC.
 * NT sends a special kernel APC to the requesting thread, since only there the requester's addresses mean anything.
 * Here is one address space and any thread will do: above APC_LEVEL the step goes to a worker. */
#include "irp.h"

#define IS_ERROR(Status) ((ULONG)(Status) >> 30 == 3)

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

/* FALSE: a driver has taken the IRP over. Ends one beyond where a new IRP stands, so that a second completion shows. */
static BOOLEAN WalkUp(PIRP Irp) {
    while (Irp->CurrentLocation <= Irp->StackCount) {
        PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
        Irp->PendingReturned = (Stack->Control & SL_PENDING_RETURNED) != 0;
        Irp->CurrentLocation++;
        Irp->Tail.Overlay.CurrentStackLocation++;
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

static VOID ReturnBuffer(PIRP Irp) {
    if ((Irp->Flags & IRP_INPUT_OPERATION) && !IS_ERROR(Irp->IoStatus.Status)) {
        memcpy(Irp->UserBuffer, Irp->AssociatedIrp.SystemBuffer, Irp->IoStatus.Information);
    }
    if (Irp->Flags & IRP_DEALLOCATE_BUFFER) {
        ExFreePoolWithTag(Irp->AssociatedIrp.SystemBuffer, TAG_IRP);
    }
}

/* The event is the last thing: once it is set, the requester may return, and with it go its event and status block. */
static VOID FinishRequest(PIRP Irp) {
    CCHAR PriorityBoost = IopGetIrpTail(Irp)->PriorityBoost;
    PKEVENT Event = Irp->UserEvent;
    ReturnBuffer(Irp);
    if (Irp->UserIosb) {
        *Irp->UserIosb = Irp->IoStatus;
    }
    IoFreeIrp(Irp);
    if (Event) {
        KeSetEvent(Event, PriorityBoost, FALSE);
    }
}

static VOID FinishInWorker(PVOID Parameter) {
    FinishRequest(Parameter);
}

/* <= DISPATCH_LEVEL, no spin lock held: routines of other drivers run. The IRP is not the caller's any more.
 * Completed before: MULTIPLE_IRP_COMPLETE_REQUESTS. wdm.h: IoCompleteRequest. */
VOID IofCompleteRequest(PIRP Irp, CCHAR PriorityBoost) {
    if (Irp->Type != IO_TYPE_IRP || Irp->CurrentLocation > Irp->StackCount + 1) {
        KeBugCheckEx(MULTIPLE_IRP_COMPLETE_REQUESTS, (ULONG_PTR)Irp, 0, 0, 0);
    }
    NT_ASSERT(Irp->IoStatus.Status != STATUS_PENDING);
    if (!WalkUp(Irp)) {
        return;
    }
    PIOP_IRP_TAIL Tail = IopGetIrpTail(Irp);
    Tail->PriorityBoost = PriorityBoost;
    BOOLEAN WritesToRequester = Irp->UserIosb != NULL || (Irp->Flags & IRP_INPUT_OPERATION);
    if (WritesToRequester && KiCurrentIrql() > APC_LEVEL) {
        ExInitializeWorkItem(&Tail->WorkItem, FinishInWorker, Irp);
        ExQueueWorkItem(&Tail->WorkItem, CriticalWorkQueue);
    } else {
        FinishRequest(Irp);
    }
}

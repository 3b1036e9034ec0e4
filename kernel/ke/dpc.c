/* dpc.c: deferred procedure calls: an interrupt's rest, run at DISPATCH_LEVEL before any thread.
 *
 * Each CPU has one queue. Queuing a DPC asks for the DISPATCH software interrupt (vector 0x2F), which the local APIC
 * holds back until CR8 drops below 2: "the queue is drained when IRQL falls below DISPATCH_LEVEL" is the hardware's
 * doing. The drain runs on the CPU's own DPC stack, so that a DPC has room even where the interrupted thread has none.
 *
 *      importance      place   asks the CPU to drain
 *      low             tail    own CPU: when 4 are waiting, else the next clock tick does; other CPU: the same
 *      medium          tail    own CPU: at once; other CPU: when 4 are waiting
 *      medium-high     tail    at once
 *      high            head    at once
 *
 * The queue's lock is taken at HIGH_LEVEL, because an interrupt service routine of any level may queue a DPC. */
#include "ki.h"
#include <trace.h>

#define DEEP_QUEUE 4
#define KIND_PLAIN 4 /* KDPC.Reserved: parameter 1 of TIMER_OR_DPC_INVALID, should the DPC's return fail its check */
#define KIND_TIMER 5

/* Any IRQL; the object lies in resident memory. wdm.h: KeInitializeDpc. */
VOID KeInitializeDpc(PRKDPC Dpc, PKDEFERRED_ROUTINE DeferredRoutine, PVOID DeferredContext) {
    *Dpc = (KDPC){.Type = DpcObject,
                  .Importance = MediumImportance,
                  .DeferredRoutine = DeferredRoutine,
                  .DeferredContext = DeferredContext};
}

/* As KeInitializeDpc, for a routine that a thread of priority 31 is to run at PASSIVE_LEVEL (threadeddpc.c). */
VOID KeInitializeThreadedDpc(PRKDPC Dpc, PKDEFERRED_ROUTINE DeferredRoutine, PVOID DeferredContext) {
    KeInitializeDpc(Dpc, DeferredRoutine, DeferredContext);
    Dpc->Type = ThreadedDpcObject;
}

VOID KeSetImportanceDpc(PRKDPC Dpc, KDPC_IMPORTANCE Importance) {
    Dpc->Importance = (UCHAR)Importance;
}

VOID KeSetTargetProcessorDpc(PRKDPC Dpc, CCHAR Number) {
    Dpc->Number = (USHORT)(MAXIMUM_PROCESSORS + Number);
}

/* ---- Queuing ---- */

static PKPRCB TargetOf(PKDPC Dpc) {
    ULONG Number = (ULONG)Dpc->Number - MAXIMUM_PROCESSORS;
    if (Number >= KeNumberProcessors) {
        KeBugCheckEx(TIMER_OR_DPC_INVALID, 3, (ULONG_PTR)Dpc, Number, KeNumberProcessors);
    }
    return KiProcessorBlock[Number];
}

static BOOLEAN ShouldRequestDrain(const KDPC *Dpc, BOOLEAN IsOwnCpu, LONG Depth) {
    switch (Dpc->Importance) {
    case HighImportance:
    case MediumHighImportance:
        return TRUE;
    case MediumImportance:
        return IsOwnCpu || Depth >= DEEP_QUEUE;
    default:
        return Depth >= DEEP_QUEUE;
    }
}

/* Puts a DPC that this CPU has won into the queue. TRUE: the CPU must be asked to drain it. Queue locked. */
static FORCEINLINE BOOLEAN Enqueue(PKPRCB Prcb, PKDPC Dpc, BOOLEAN IsOwnCpu) {
    KDPC_DATA *Queue = &Prcb->DpcData;
    if (Dpc->Importance == HighImportance) {
        InsertHeadList(&Queue->DpcListHead, &Dpc->DpcListEntry);
    } else {
        InsertTailList(&Queue->DpcListHead, &Dpc->DpcListEntry);
    }
    LONG Depth = ++Queue->DpcQueueDepth;
    if (Prcb->DpcInterruptRequested || Prcb->DpcRoutineActive || !ShouldRequestDrain(Dpc, IsOwnCpu, Depth)) {
        return FALSE;
    }
    Prcb->DpcInterruptRequested = TRUE;
    return TRUE;
}

/* Puts a threaded DPC that was won into its queue; the drain of the ordinary ones wakes the thread. Queue locked. */
static BOOLEAN EnqueueThreaded(PKPRCB Prcb, PKDPC Dpc) {
    InsertTailList(&Prcb->ThreadedDpcData.DpcListHead, &Dpc->DpcListEntry);
    Prcb->ThreadedDpcData.DpcQueueDepth++;
    Prcb->ThreadedDpcRequested = TRUE;
    return TRUE;
}

/* Any IRQL. Kind lets the drain tell a timer's DPC from others. */
static BOOLEAN InsertDpc(PRKDPC Dpc, PVOID SystemArgument1, PVOID SystemArgument2, ULONG Kind) {
    if (Dpc->DeferredRoutine == NULL) {
        KeBugCheckEx(TIMER_OR_DPC_INVALID, 2, (ULONG_PTR)Dpc, 0, 0);
    }
    ULONG64 OldIrql = KiRaiseToHigh();
    PKPRCB Own = KeGetCurrentPrcb();
    PKPRCB Prcb = Dpc->Number < MAXIMUM_PROCESSORS ? Own : TargetOf(Dpc);
    BOOLEAN MustRequest = FALSE, IsThreaded = Dpc->Type == ThreadedDpcObject && Prcb->ThreadedDpcThread != NULL;
    KDPC_DATA *Queue = IsThreaded ? &Prcb->ThreadedDpcData : &Prcb->DpcData;
    KiLockDpcQueue(Queue);
    /* Two CPUs may queue it at one time, each under the lock of its own queue: one of them wins the object. */
    BOOLEAN WasFree = InterlockedCompareExchangePointer(&Dpc->DpcData, Queue, NULL) == NULL;
    if (WasFree) {
        Dpc->SystemArgument1 = SystemArgument1;
        Dpc->SystemArgument2 = SystemArgument2;
        Dpc->Reserved = Kind;
        MustRequest = IsThreaded ? EnqueueThreaded(Prcb, Dpc) : Enqueue(Prcb, Dpc, Prcb == Own);
    }
    KiUnlockDpcQueue(Queue);
    if (MustRequest) {
        if (Prcb == Own) {
            HalRequestSoftwareInterrupt(DISPATCH_LEVEL);
        } else {
            HalRequestIpi(Prcb->Number, VECTOR_DISPATCH);
        }
    }
    KiSetIrql(OldIrql);
    return WasFree;
}

/* Any IRQL. FALSE: it is in a queue already, and its arguments stay as they were. wdm.h: KeInsertQueueDpc. */
BOOLEAN KeInsertQueueDpc(PRKDPC Dpc, PVOID SystemArgument1, PVOID SystemArgument2) {
    return InsertDpc(Dpc, SystemArgument1, SystemArgument2, KIND_PLAIN);
}

/* The DPC of a timer whose time has come. <= DISPATCH_LEVEL. */
BOOLEAN KiInsertTimerDpc(PRKDPC Dpc, ULONG64 SystemTime) {
    return InsertDpc(Dpc, (PVOID)(SystemTime & MAXULONG), (PVOID)(SystemTime >> 32), KIND_TIMER);
}

/* Any IRQL. TRUE: it was waiting and will not run. It may run at this moment when FALSE. wdm.h: KeRemoveQueueDpc. */
BOOLEAN KeRemoveQueueDpc(PRKDPC Dpc) {
    ULONG64 OldIrql = KiRaiseToHigh();
    KDPC_DATA *Queue = Dpc->DpcData;
    BOOLEAN WasQueued = FALSE;
    if (Queue != NULL) {
        KiLockDpcQueue(Queue);
        WasQueued = Dpc->DpcData == Queue;
        if (WasQueued) {
            RemoveEntryList(&Dpc->DpcListEntry);
            Queue->DpcQueueDepth--;
            Dpc->DpcData = NULL;
        }
        KiUnlockDpcQueue(Queue);
    }
    KiSetIrql(OldIrql);
    return WasQueued;
}

/* Takes the first DPC off the queue; from then on its object is the driver's again and may be queued anew or freed. An
 * empty queue ends the drain under the same lock, so that a DPC queued after this asks for a new interrupt. *IsActive
 * says afterwards whether there was one. IRQL is Irql on return. */
static FORCEINLINE BOOLEAN TakeNext(KDPC_DATA *Queue, KDPC_CALL *Call, volatile BOOLEAN *IsActive, KIRQL Irql) {
    KiSetIrql(HIGH_LEVEL);
    KiLockDpcQueue(Queue);
    BOOLEAN HasDpc = !IsListEmpty(&Queue->DpcListHead);
    if (HasDpc) {
        PKDPC Dpc = CONTAINING_RECORD(RemoveHeadList(&Queue->DpcListHead), KDPC, DpcListEntry);
        *Call = (KDPC_CALL){
            Dpc, Dpc->DeferredRoutine, Dpc->DeferredContext, Dpc->SystemArgument1, Dpc->SystemArgument2, Dpc->Reserved};
        Queue->DpcQueueDepth--;
        Queue->DpcCount++;
        Dpc->DpcData = NULL;
    }
    Queue->ActiveRoutine = HasDpc ? Call->Routine : NULL;
    *IsActive = HasDpc;
    KiUnlockDpcQueue(Queue);
    KiSetIrql(Irql);
    return HasDpc;
}

BOOLEAN KiTakeThreadedDpc(KDPC_DATA *Queue, KDPC_CALL *Call) {
    volatile BOOLEAN IsActive;
    return TakeNext(Queue, Call, &IsActive, PASSIVE_LEVEL);
}

/* A DPC must leave the machine at the IRQL and with the APC-disable count that it found. */
VOID KiCheckDpcReturn(const KDPC_CALL *Call, KIRQL Expected, ULONG ApcDisableBefore) {
    KIRQL Irql = KiCurrentIrql();
    ULONG ApcDisable = KiCurrentThread()->CombinedApcDisable;
    if (Irql != Expected) {
        KeBugCheckEx(IRQL_UNEXPECTED_VALUE, (ULONG_PTR)Irql << 16 | (ULONG_PTR)Expected << 8 | 2,
                     (ULONG_PTR)Call->Routine, (ULONG_PTR)Call->Context, 0);
    }
    if (ApcDisable != ApcDisableBefore) {
        KeBugCheckEx(TIMER_OR_DPC_INVALID, Call->Kind, (ULONG_PTR)Call->Routine, ApcDisableBefore, ApcDisable);
    }
}

/* Runs on the DPC stack, at DISPATCH_LEVEL, IF = 1. */
static VOID KiRetireDpcList(VOID) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    KDPC_CALL Call;
    while (TakeNext(&Prcb->DpcData, &Call, &Prcb->DpcRoutineActive, DISPATCH_LEVEL)) {
        ULONG ApcDisable = Prcb->CurrentThread->CombinedApcDisable;
        Prcb->DpcRoutineTicks = 0;
        KdTrace(TraceDpc, 0, (ULONG64)Call.Dpc, (ULONG64)Call.Routine, 0);
        Call.Routine(Call.Dpc, Call.Context, Call.Argument1, Call.Argument2);
        KiCheckDpcReturn(&Call, DISPATCH_LEVEL, ApcDisable);
        KdTrace(TraceDpcEnd, 0, (ULONG64)Call.Dpc, (ULONG64)Call.Routine, 0);
    }
}

/* Vector 0x2F: the DPCs, then perhaps another thread. DISPATCH_LEVEL, IF = 1, on the interrupted thread's stack. */
VOID KiDispatchInterrupt(VOID) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    BOOLEAN IsRequested = Prcb->DpcInterruptRequested;
    if (IsRequested) {
        Prcb->DpcInterruptRequested = FALSE;
    }
    /* The depth alone is not enough. A CPU that found the flag still set has sent no interrupt, and its ++DpcQueueDepth
     * may be on its way while our store of FALSE is: then only the drain, under the queue's lock, sees the DPC. */
    if (IsRequested || Prcb->DpcData.DpcQueueDepth != 0) {
        KiCallOnStack(Prcb->DpcStack, KiRetireDpcList);
    }
    if (Prcb->ThreadedDpcRequested) {
        Prcb->ThreadedDpcRequested = FALSE; /* first: a DPC queued after this asks anew */
        KeSetEvent(&Prcb->ThreadedDpcEvent, IO_NO_INCREMENT, FALSE);
    }
    KiDispatchThreadSwitch();
}

BOOLEAN KeIsDpcActive(VOID) {
    return KeGetCurrentPrcb()->DpcRoutineActive;
}

static VOID FlushRoutine(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
}

/* Returns when every DPC that was queued before has run, on every CPU: a marker goes to the tail of each queue.
 * PASSIVE_LEVEL; waits. wdm.h: KeFlushQueuedDpcs. */
VOID KeFlushQueuedDpcs(VOID) {
    KDPC Dpc;
    KEVENT Done;
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    KeInitializeDpc(&Dpc, FlushRoutine, &Done);
    KeSetImportanceDpc(&Dpc, MediumHighImportance);
    for (ULONG Index = 0; Index < 2 * KeNumberProcessors; Index++) {
        Dpc.Type = Index % 2 ? ThreadedDpcObject : DpcObject;
        KeSetTargetProcessorDpc(&Dpc, (CCHAR)(Index / 2));
        KeInsertQueueDpc(&Dpc, NULL, NULL);
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    }
}

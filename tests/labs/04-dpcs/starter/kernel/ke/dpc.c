/* dpc.c: yours to write (lab 04): deferred procedure calls, an interrupt's rest, run at DISPATCH_LEVEL before any thread.
 *
 * Each CPU has one queue, KPRCB.DpcData: a list, its depth, its lock (KiLockDpcQueue, KiUnlockDpcQueue, which leave the
 * IRQL alone). KDPC.DpcData is the queue that a DPC is in, or NULL. What asks a CPU to drain its queue is vector 0x2F:
 * HalRequestSoftwareInterrupt(DISPATCH_LEVEL) for the own one, HalRequestIpi(Number, VECTOR_DISPATCH) for another.
 *
 *      importance      place   asks the CPU to drain
 *      low             tail    own CPU: when 4 are waiting, else the next clock tick does; other CPU: the same
 *      medium          tail    own CPU: at once; other CPU: when 4 are waiting
 *      medium-high     tail    at once
 *      high            head    at once
 *
 * What is here is right for one CPU on which nothing else happens. Yours to write are the functions marked so: queuing for
 * each CPU and importance, removing, draining. An interrupt service routine of any level may queue a DPC, so a queue is
 * changed at HIGH_LEVEL (KiRaiseToHigh, KiSetIrql), under its lock. */
#include "ki.h"
#include <trace.h>

#define DEEP_QUEUE 4 /* a queue that is no longer left waiting */
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

/* Yours. Any IRQL. FALSE: it is in a queue already, and its arguments stay as they were. Kind goes to Dpc->Reserved.
 * Dpc->Number below MAXIMUM_PROCESSORS means the own CPU, else TargetOf says which. Two CPUs may queue one DPC at the same
 * time, each under the lock of its own queue: one of them wins. Threaded DPCs may be treated as ordinary ones. */
static BOOLEAN InsertDpc(PRKDPC Dpc, PVOID SystemArgument1, PVOID SystemArgument2, ULONG Kind) {
    if (Dpc->DeferredRoutine == NULL) {
        KeBugCheckEx(TIMER_OR_DPC_INVALID, 2, (ULONG_PTR)Dpc, 0, 0);
    }
    if (Dpc->Number >= MAXIMUM_PROCESSORS) {
        TargetOf(Dpc);
    }
    PKPRCB Prcb = KeGetCurrentPrcb();
    if (Dpc->DpcData != NULL) {
        return FALSE;
    }
    Dpc->DpcData = &Prcb->DpcData;
    Dpc->SystemArgument1 = SystemArgument1;
    Dpc->SystemArgument2 = SystemArgument2;
    Dpc->Reserved = Kind;
    InsertTailList(&Prcb->DpcData.DpcListHead, &Dpc->DpcListEntry);
    Prcb->DpcData.DpcQueueDepth++;
    Prcb->DpcInterruptRequested = TRUE;
    HalRequestSoftwareInterrupt(DISPATCH_LEVEL);
    return TRUE;
}

/* Any IRQL. FALSE: it is in a queue already, and its arguments stay as they were. wdm.h: KeInsertQueueDpc. */
BOOLEAN KeInsertQueueDpc(PRKDPC Dpc, PVOID SystemArgument1, PVOID SystemArgument2) {
    return InsertDpc(Dpc, SystemArgument1, SystemArgument2, KIND_PLAIN);
}

/* The DPC of a timer whose time has come. <= DISPATCH_LEVEL. */
BOOLEAN KiInsertTimerDpc(PRKDPC Dpc, ULONG64 SystemTime) {
    return InsertDpc(Dpc, (PVOID)(SystemTime & MAXULONG), (PVOID)(SystemTime >> 32), KIND_TIMER);
}

/* Yours. Any IRQL. TRUE: it was waiting and will not run. It may run at this moment when FALSE. */
BOOLEAN KeRemoveQueueDpc(PRKDPC Dpc) {
    KDPC_DATA *Queue = Dpc->DpcData;
    if (Queue == NULL) {
        return FALSE;
    }
    RemoveEntryList(&Dpc->DpcListEntry);
    Queue->DpcQueueDepth--;
    Dpc->DpcData = NULL;
    return TRUE;
}

/* Yours. Takes the first DPC off the queue and copies it to *Call; from then on its object is the driver's again, and may be
 * queued anew or freed. *IsActive says afterwards whether there was one, and is changed under the queue's lock: a DPC that is
 * queued after an empty look asks for a new interrupt. IRQL is Irql on return. */
static BOOLEAN TakeNext(KDPC_DATA *Queue, KDPC_CALL *Call, volatile BOOLEAN *IsActive, KIRQL Irql) {
    BOOLEAN HasDpc = !IsListEmpty(&Queue->DpcListHead);
    if (HasDpc) {
        PKDPC Dpc = CONTAINING_RECORD(RemoveHeadList(&Queue->DpcListHead), KDPC, DpcListEntry);
        Dpc->DpcData = NULL;
        *Call = (KDPC_CALL){
            Dpc, Dpc->DeferredRoutine, Dpc->DeferredContext, Dpc->SystemArgument1, Dpc->SystemArgument2, Dpc->Reserved};
        Queue->DpcQueueDepth--;
        Queue->DpcCount++;
    }
    Queue->ActiveRoutine = HasDpc ? Call->Routine : NULL;
    *IsActive = HasDpc;
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

/* apc.c: asynchronous procedure calls: a routine run in a chosen thread, at APC_LEVEL or below.
 *
 * Like a DPC it waits in a queue and comes by a software interrupt (vector 0x1F, held back by the local APIC while CR8
 * is 1 or more); unlike a DPC it belongs to a thread, not to a CPU. A special kernel APC (no NormalRoutine) runs its
 * KernelRoutine at APC_LEVEL. A normal one then runs its NormalRoutine at PASSIVE_LEVEL, one at a time, and is kept
 * out of critical regions too. Special ones go before normal ones.
 *
 * A user APC waits for user mode, which no thread here ever enters: it can end an alertable wait of WaitMode UserMode,
 * and is given back to its RundownRoutine when the thread ends.
 *
 * A thread that waits at PASSIVE_LEVEL is woken for an APC and waits again afterwards, behind those that came in
 * between; a thread that is ready gets its APCs when it is switched to (scheduler.c). */
#include "ki.h"

/* Any IRQL; Apc lies in resident memory. NT exports it, but no header declares it. */
VOID KeInitializeApc(PRKAPC Apc, PKTHREAD Thread, KAPC_ENVIRONMENT Environment, PKKERNEL_ROUTINE KernelRoutine,
                     PKRUNDOWN_ROUTINE RundownRoutine, PKNORMAL_ROUTINE NormalRoutine, KPROCESSOR_MODE Mode,
                     PVOID Context) {
    *Apc = (KAPC){.Type = ApcObject,
                  .Size = sizeof(KAPC),
                  .Thread = Thread,
                  .KernelRoutine = KernelRoutine,
                  .RundownRoutine = RundownRoutine,
                  .NormalRoutine = NormalRoutine,
                  .NormalContext = Context,
                  .ApcStateIndex = (CCHAR)Environment,
                  .ApcMode = Mode};
}

/* Behind the special APCs that are there for a special one, at the end for a normal one. Lock held. */
static VOID InsertApc(PKTHREAD Thread, PKAPC Apc) {
    PLIST_ENTRY Head = &Thread->ApcListHead, Before = Head->Flink;
    if (Apc->NormalRoutine != NULL) {
        Before = Head;
    }
    while (Before != Head && CONTAINING_RECORD(Before, KAPC, ApcListEntry)->NormalRoutine == NULL) {
        Before = Before->Flink;
    }
    InsertTailList(Before, &Apc->ApcListEntry);
    Apc->Inserted = TRUE;
    Thread->ApcPending = TRUE;
}

/* Nothing keeps the APC out of its thread but the thread's IRQL. Lock held. */
static BOOLEAN IsDeliverable(const KTHREAD *Thread, const KAPC *Apc) {
    return Thread->SpecialApcDisable == 0 &&
           (Apc->NormalRoutine == NULL || (Thread->KernelApcDisable == 0 && !Thread->KernelApcInProgress));
}

/* A new kernel APC: its thread comes to it by itself, by an interrupt, or by waking up. Lock held. */
static VOID Announce(PKTHREAD Thread, PKAPC Apc) {
    if (Thread == KiCurrentThread()) {
        HalRequestSoftwareInterrupt(APC_LEVEL);
    } else if (Thread->State == Running) {
        HalRequestIpi(Thread->Processor, VECTOR_APC);
    } else if (IsDeliverable(Thread, Apc)) {
        KiInterruptWait(Thread);
    }
}

static BOOLEAN IsUserApc(const KAPC *Apc) {
    return Apc->ApcMode == UserMode && Apc->NormalRoutine != NULL;
}

/* <= DISPATCH_LEVEL. FALSE: it is queued already, or the thread has ended. Increment is for the wait that a user APC
 * ends. */
BOOLEAN KeInsertQueueApc(PRKAPC Apc, PVOID SystemArgument1, PVOID SystemArgument2, KPRIORITY Increment) {
    PKTHREAD Thread = Apc->Thread;
    KIRQL OldIrql = KiLockDispatcher();
    BOOLEAN IsTaken = !Apc->Inserted && Thread->State != Terminated && (!IsUserApc(Apc) || KiAlerts != NULL);
    if (IsTaken) {
        Apc->SystemArgument1 = SystemArgument1;
        Apc->SystemArgument2 = SystemArgument2;
        if (IsUserApc(Apc)) {
            KiAlerts->InsertApc(Thread, Apc, Increment);
        } else {
            InsertApc(Thread, Apc);
            Announce(Thread, Apc);
        }
    }
    KiUnlockDispatcher(OldIrql);
    return IsTaken;
}

/* <= DISPATCH_LEVEL. TRUE: it was waiting and will not run. */
BOOLEAN KeRemoveQueueApc(PRKAPC Apc) {
    KIRQL OldIrql = KiLockDispatcher();
    BOOLEAN WasInserted = Apc->Inserted;
    if (WasInserted) {
        RemoveEntryList(&Apc->ApcListEntry);
        Apc->Inserted = FALSE;
    }
    KiUnlockDispatcher(OldIrql);
    return WasInserted;
}

/* Takes the first APC that may run now off the queue: a copy, for its memory is the owner's from here on. Lock held. */
static BOOLEAN TakeApc(PKTHREAD Thread, PKAPC *Original, KAPC *Copy) {
    if (IsListEmpty(&Thread->ApcListHead)) {
        Thread->ApcPending = FALSE;
        return FALSE;
    }
    PKAPC Apc = CONTAINING_RECORD(Thread->ApcListHead.Flink, KAPC, ApcListEntry);
    if (!IsDeliverable(Thread, Apc)) {
        return FALSE;
    }
    RemoveEntryList(&Apc->ApcListEntry);
    Apc->Inserted = FALSE;
    *Original = Apc;
    *Copy = *Apc;
    return TRUE;
}

/* IRQL_UNEXPECTED_VALUE (current, expected, 0 or 1; KernelRoutine; APC; NormalRoutine), as on NT. */
static VOID CheckIrql(const KAPC *Apc, PKAPC Original, KIRQL Expected, ULONG Unique) {
    KIRQL Irql = KiCurrentIrql();
    if (Irql != Expected) {
        KeBugCheckEx(IRQL_UNEXPECTED_VALUE, (ULONG_PTR)Irql << 16 | (ULONG_PTR)Expected << 8 | Unique,
                     (ULONG_PTR)Apc->KernelRoutine, (ULONG_PTR)Original, (ULONG_PTR)Apc->NormalRoutine);
    }
}

/* Runs one APC that has been taken off the queue. APC_LEVEL in and out. An exception in it is not for the handler of
 * the code that it interrupts. */
static VOID CallApc(PKTHREAD Thread, PKAPC Original, KAPC *Apc) {
    ULONG64 Guard = Thread->Guard;
    Thread->Guard = 0;
    Apc->KernelRoutine(Original, &Apc->NormalRoutine, &Apc->NormalContext, &Apc->SystemArgument1,
                       &Apc->SystemArgument2);
    CheckIrql(Apc, Original, APC_LEVEL, 0);
    if (Apc->NormalRoutine != NULL) {
        Thread->KernelApcInProgress = TRUE;
        KeLowerIrql(PASSIVE_LEVEL);
        Apc->NormalRoutine(Apc->NormalContext, Apc->SystemArgument1, Apc->SystemArgument2);
        CheckIrql(Apc, Original, PASSIVE_LEVEL, 1);
        KfRaiseIrql(APC_LEVEL);
        Thread->KernelApcInProgress = FALSE;
    }
    Thread->Guard = Guard;
}

/* Vector 0x1F: at APC_LEVEL, IF = 1, in the context of the current thread. */
VOID KiDeliverApc(VOID) {
    PKTHREAD Thread = KiCurrentThread();
    PKAPC Original;
    KAPC Apc;
    while (Thread->ApcPending && Thread->SpecialApcDisable == 0) {
        KIRQL OldIrql = KiLockDispatcher();
        BOOLEAN HasApc = TakeApc(Thread, &Original, &Apc);
        KiUnlockDispatcher(OldIrql);
        if (!HasApc) {
            return;
        }
        CallApc(Thread, Original, &Apc);
    }
}

static BOOLEAN HasDeliverableApc(const KTHREAD *Thread) {
    return !IsListEmpty(&Thread->ApcListHead) &&
           IsDeliverable(Thread, CONTAINING_RECORD(Thread->ApcListHead.Flink, KAPC, ApcListEntry));
}

/* The current thread holds the dispatcher lock and is about to wait or to end, at OldIrql: an APC that could run, but
 * whose interrupt is still on its way, must not be slept over. The lock is released and taken again for each. */
VOID KiRunApcsUnderLock(PKTHREAD Thread, KIRQL OldIrql) {
    while (Thread->ApcPending && OldIrql < APC_LEVEL && HasDeliverableApc(Thread)) {
        KiUnlockDispatcher(APC_LEVEL);
        KiDeliverApc();
        KiLockDispatcher();
    }
}

/* Takes the dispatcher lock for the current thread at a moment when it has no APC left that could run. Returns the old
 * IRQL. */
KIRQL KiLockAfterApcs(PKTHREAD Thread) {
    KIRQL OldIrql = KiLockDispatcher();
    KiRunApcsUnderLock(Thread, OldIrql);
    return OldIrql;
}

/* mutex.c: the mutex: owned by one thread, which may acquire it again and must release it as often.
 *
 *      SignalState 1       free
 *                  0       owned, acquired once
 *                 -1, ...  owned, acquired again
 *
 * KMUTEX and KMUTANT are one structure. Owning a KMUTEX (ApcDisable = 1) disables normal kernel APCs (apc.c), and a
 * thread that ends with one stops the machine; a mutant (ApcDisable = 0) passes to its next owner with
 * STATUS_ABANDONED. */
#include "ki.h"
#include <ex.h>

static VOID InitializeMutant(PKMUTANT Mutant, UCHAR ApcDisable) {
    *Mutant = (KMUTANT){.Header = {.Type = MutantObject, .Size = sizeof(KMUTANT) / sizeof(ULONG), .SignalState = 1},
                        .ApcDisable = ApcDisable};
    InitializeListHead(&Mutant->Header.WaitListHead);
}

/* Any IRQL; the mutex lies in resident memory. Level is ignored, as on Windows. */
VOID KeInitializeMutex(PRKMUTEX Mutex, ULONG Level) {
    UNREFERENCED_PARAMETER(Level);
    InitializeMutant(Mutex, 1);
}

VOID KeInitializeMutant(PRKMUTANT Mutant, BOOLEAN IsOwnedByCaller) {
    InitializeMutant(Mutant, 0);
    if (IsOwnedByCaller) {
        KIRQL OldIrql = KiLockDispatcher();
        Mutant->Header.SignalState = 0;
        KiTakeMutant(Mutant, KiCurrentThread());
        KiUnlockDispatcher(OldIrql);
    }
}

/* SignalState has just become 0: Thread is the owner now. Dispatcher lock held. */
VOID KiTakeMutant(PKMUTANT Mutant, PKTHREAD Thread) {
    Mutant->OwnerThread = Thread;
    Thread->KernelApcDisable -= Mutant->ApcDisable;
    InsertTailList(&Thread->MutantListHead, &Mutant->MutantListEntry);
}

/* The mutex becomes free, and perhaps a waiter's at once. Dispatcher lock held. */
static VOID FreeMutant(PKMUTANT Mutant, KPRIORITY Increment) {
    Mutant->Header.SignalState = 1;
    RemoveEntryList(&Mutant->MutantListEntry);
    Mutant->OwnerThread->KernelApcDisable += Mutant->ApcDisable;
    KiCatchUpApcs(Mutant->OwnerThread);
    Mutant->OwnerThread = NULL;
    KiSignalWaiters(&Mutant->Header, Increment);
}

/* Returns the previous state: 0 means that it is free now. <= DISPATCH_LEVEL. Abandoned: the owner has ended. Otherwise
 * raises STATUS_MUTANT_NOT_OWNED for every thread but the owner. */
LONG KeReleaseMutant(PRKMUTANT Mutant, KPRIORITY Increment, BOOLEAN Abandoned, BOOLEAN Wait) {
    KIRQL OldIrql = KiLockDispatcher();
    LONG Previous = Mutant->Header.SignalState;
    if (Abandoned ? Mutant->OwnerThread == NULL : Mutant->OwnerThread != KiCurrentThread()) {
        KiUnlockDispatcher(OldIrql);
        ExRaiseStatus(STATUS_MUTANT_NOT_OWNED);
    }
    if (Abandoned) {
        Mutant->Abandoned = TRUE;
        FreeMutant(Mutant, Increment);
    } else if (Previous == 0) {
        FreeMutant(Mutant, Increment);
    } else {
        Mutant->Header.SignalState++;
    }
    KiLeaveSignal(OldIrql, Wait);
    return Previous;
}

/* As KeReleaseMutant. With Wait = TRUE <= APC_LEVEL, and a KeWait... call must follow. wdm.h: KeReleaseMutex. */
LONG KeReleaseMutex(PRKMUTEX Mutex, BOOLEAN Wait) {
    return KeReleaseMutant(Mutex, MUTANT_INCREMENT, FALSE, Wait);
}

/* 1: free. Any IRQL; a snapshot. */
LONG KeReadStateMutex(PRKMUTEX Mutex) {
    return Mutex->Header.SignalState;
}

/* The thread ends: its mutants pass to their next owners with a warning; an owned KMUTEX is a bug (0x4000008A).
 * Dispatcher lock held. */
VOID KiAbandonMutants(PKTHREAD Thread) {
    while (!IsListEmpty(&Thread->MutantListHead)) {
        PKMUTANT Mutant = CONTAINING_RECORD(Thread->MutantListHead.Flink, KMUTANT, MutantListEntry);
        if (Mutant->ApcDisable) {
            KeBugCheckEx((ULONG)THREAD_TERMINATE_HELD_MUTEX, (ULONG_PTR)Thread, (ULONG_PTR)Mutant, 0, 0);
        }
        Mutant->Abandoned = TRUE;
        FreeMutant(Mutant, MUTANT_INCREMENT);
    }
}

/* dpccheck.c: queued DPCs for an observer: how many, and those in memory that is about to go. */
#include "ki.h"

/* Counts the DPCs, queued or running, that have a wanted routine. IsWanted runs at HIGH_LEVEL. Any IRQL; a snapshot.
 * A running threaded DPC is not counted: it shows as its thread's work. */
ULONG KeCountDpcs(BOOLEAN (*IsWanted)(PKDEFERRED_ROUTINE Routine)) {
    ULONG Wanted = 0;
    ULONG64 OldIrql = KiRaiseToHigh();
    for (ULONG Index = 0; Index < 2 * KeNumberProcessors; Index++) {
        PKPRCB Prcb = KiProcessorBlock[Index / 2];
        KDPC_DATA *Queue = Index % 2 ? &Prcb->ThreadedDpcData : &Prcb->DpcData;
        KiLockDpcQueue(Queue);
        for (PLIST_ENTRY Entry = Queue->DpcListHead.Flink; Entry != &Queue->DpcListHead; Entry = Entry->Flink) {
            Wanted += IsWanted(CONTAINING_RECORD(Entry, KDPC, DpcListEntry)->DeferredRoutine);
        }
        Wanted += Index % 2 == 0 && Queue->ActiveRoutine != NULL && IsWanted(Queue->ActiveRoutine);
        KiUnlockDpcQueue(Queue);
    }
    KiSetIrql(OldIrql);
    return Wanted;
}

/* The first DPC of a queue that lies in the range, or whose routine does. Queue locked. */
static PKDPC FindInQueue(KDPC_DATA *Queue, ULONG64 Start, ULONG64 End) {
    for (PLIST_ENTRY Entry = Queue->DpcListHead.Flink; Entry != &Queue->DpcListHead; Entry = Entry->Flink) {
        PKDPC Dpc = CONTAINING_RECORD(Entry, KDPC, DpcListEntry);
        if (((ULONG64)Dpc >= Start && (ULONG64)Dpc < End) ||
            ((ULONG64)Dpc->DeferredRoutine >= Start && (ULONG64)Dpc->DeferredRoutine < End)) {
            return Dpc;
        }
    }
    return NULL;
}

PKDPC KeFindDpcInRange(ULONG64 Start, ULONG64 End) {
    PKDPC Found = NULL;
    ULONG64 OldIrql = KiRaiseToHigh();
    for (ULONG Index = 0; Index < 2 * KeNumberProcessors && Found == NULL; Index++) {
        PKPRCB Prcb = KiProcessorBlock[Index / 2];
        KDPC_DATA *Queue = Index % 2 ? &Prcb->ThreadedDpcData : &Prcb->DpcData;
        KiLockDpcQueue(Queue);
        Found = FindInQueue(Queue, Start, End);
        KiUnlockDpcQueue(Queue);
    }
    KiSetIrql(OldIrql);
    return Found;
}

PKDEFERRED_ROUTINE KeQueryThreadedDpc(const KTHREAD *Thread) {
    PKPRCB Prcb = KiProcessorBlock[Thread->Processor];
    return Prcb->ThreadedDpcThread == Thread ? Prcb->ThreadedDpcData.ActiveRoutine : NULL;
}

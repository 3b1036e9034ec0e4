/* inspect.c: threads, timers and DPCs as an observer finds them: lists walked, snapshots counted. */
#include "ki.h"

#include <inspect.h>

/* The thread object that was made after Thread's, the first one for NULL, NULL behind the last: also of threads that have
 * ended but are still referred to. Dispatcher lock held. */
PKTHREAD KeNextThreadObject(PKTHREAD Thread) {
    PLIST_ENTRY Entry = Thread == NULL ? KiThreadObjects.Flink : Thread->ObjectListEntry.Flink;
    return Entry == &KiThreadObjects ? NULL : CONTAINING_RECORD(Entry, KTHREAD, ObjectListEntry);
}

/* The timer that is due after Timer, the first one for NULL, NULL behind the last. Dispatcher lock held. */
PKTIMER KeNextTimer(PKTIMER Timer) {
    PLIST_ENTRY Entry = Timer == NULL ? KiTimerList.Flink : Timer->TimerListEntry.Flink;
    return Entry == &KiTimerList ? NULL : CONTAINING_RECORD(Entry, KTIMER, TimerListEntry);
}

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

PKDEFERRED_ROUTINE KeQueryThreadedDpc(const KTHREAD *Thread) {
    PKPRCB Prcb = KiProcessorBlock[Thread->Processor];
    return Prcb->ThreadedDpcThread == Thread ? Prcb->ThreadedDpcData.ActiveRoutine : NULL;
}

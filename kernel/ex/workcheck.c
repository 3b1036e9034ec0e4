/* workcheck.c: queued work items for an observer: how many, and those in memory that is about to go. */
#include <ex.h>

/* Work items that no thread has taken yet. <= DISPATCH_LEVEL; a snapshot. */
ULONG ExCountWorkItems(VOID) {
    KIRQL OldIrql;
    ULONG Count = 0;
    KeAcquireSpinLock(&ExpWorkQueueLock, &OldIrql);
    for (ULONG i = 0; i < MaximumWorkQueue; i++) {
        for (PLIST_ENTRY Entry = ExpWorkQueues[i].Items.Flink; Entry != &ExpWorkQueues[i].Items; Entry = Entry->Flink) {
            Count++;
        }
    }
    KeReleaseSpinLock(&ExpWorkQueueLock, OldIrql);
    return Count;
}

PWORK_QUEUE_ITEM ExFindWorkItemInRange(ULONG64 Start, ULONG64 End) {
    KIRQL OldIrql;
    PWORK_QUEUE_ITEM Found = NULL;
    KeAcquireSpinLock(&ExpWorkQueueLock, &OldIrql);
    for (ULONG i = 0; i < MaximumWorkQueue && Found == NULL; i++) {
        for (PLIST_ENTRY Entry = ExpWorkQueues[i].Items.Flink; Entry != &ExpWorkQueues[i].Items; Entry = Entry->Flink) {
            PWORK_QUEUE_ITEM Item = CONTAINING_RECORD(Entry, WORK_QUEUE_ITEM, List);
            ULONG64 Routine = (ULONG64)Item->WorkerRoutine;
            if (((ULONG64)Item >= Start && (ULONG64)Item < End) || (Routine >= Start && Routine < End)) {
                Found = Item;
            }
        }
    }
    KeReleaseSpinLock(&ExpWorkQueueLock, OldIrql);
    return Found;
}

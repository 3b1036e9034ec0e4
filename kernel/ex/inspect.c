/* inspect.c: locks and work items as an observer finds them: owners and queues. */
#include <ex.h>
#include <inspect.h>

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

/* ---- Owners of locks that threads sleep on ---- */

PKTHREAD ExQueryResourceOwner(PERESOURCE Resource) {
    ERESOURCE_THREAD Owner = Resource->OwnerEntry.OwnerThread;
    POWNER_ENTRY Table = __atomic_load_n(&Resource->OwnerTable, __ATOMIC_ACQUIRE);
    for (ULONG i = 1; Owner == 0 && Table != NULL && i < Table[0].TableSize; i++) {
        Owner = Table[i].OwnerThread;
    }
    return (PKTHREAD)(Owner & ~(ERESOURCE_THREAD)EX_OWNER_POINTER_BITS);
}

/* A lock may name an owner whose object is long gone. Dispatcher lock held. */
static BOOLEAN IsThreadObject(PKTHREAD Thread) {
    PKTHREAD Object = KeNextThreadObject(NULL);
    while (Object != NULL && Object != Thread) {
        Object = KeNextThreadObject(Object);
    }
    return Object != NULL;
}

/* A push lock does not know its owners, but their entries know it. Dispatcher lock held. */
static PKTHREAD FindHolder(PVOID Lock) {
    for (PKTHREAD Thread = KeNextThreadObject(NULL); Thread != NULL; Thread = KeNextThreadObject(Thread)) {
        for (ULONG i = 0; i < MAXIMUM_LOCK_ENTRIES; i++) {
            if (Thread->LockEntries[i].Lock == Lock) {
                return Thread;
            }
        }
    }
    return NULL;
}

PKTHREAD ExQueryLockOwner(PVOID Lock, KLOCK_KIND Kind) {
    PKTHREAD Owner;
    switch (Kind) {
    case LockFastMutex:
    case LockGuardedMutex:
        Owner = ((PFAST_MUTEX)Lock)->Owner;
        break;
    case LockResourceShared:
    case LockResourceExclusive:
        Owner = ExQueryResourceOwner(Lock);
        break;
    case LockPushShared:
    case LockPushExclusive:
        return FindHolder(Lock);
    default:
        return NULL;
    }
    return IsThreadObject(Owner) ? Owner : NULL;
}

PCSTR ExLockKindName(KLOCK_KIND Kind) {
    static const PCSTR Names[] = {
        [LockNone] = "no lock",
        [LockFastMutex] = "fast mutex",
        [LockGuardedMutex] = "guarded mutex",
        [LockResourceShared] = "resource (shared)",
        [LockResourceExclusive] = "resource (exclusive)",
        [LockPushShared] = "push lock (shared)",
        [LockPushExclusive] = "push lock (exclusive)",
        [LockRundown] = "rundown protection",
    };
    return (ULONG)Kind < RTL_NUMBER_OF(Names) ? Names[Kind] : "unknown lock";
}

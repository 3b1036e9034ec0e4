/* resource.c: the resource (ERESOURCE): many readers or one writer, recursive, with owners known by name.
 *
 *      free        ActiveEntries = 0                                   no waiters: a release hands over at once
 *      exclusive   Flag has ResourceOwnedExclusive, ActiveEntries = 1  OwnerEntry: the thread, and how often
 *      shared      ActiveEntries = number of owners                    OwnerEntry and OwnerTable[1...]: one entry each
 *
 *                    exclusive for me    shared for me, another waits for exclusive
 *      exclusive     again               again (counts as exclusive)
 *      shared        waits forever      ...SharedLite: again.  StarveExclusive: again.  WaitForExclusive: waits forever
 *
 * A release passes the ownership on itself: the waiter's entry is filled in, then its event is set. So a thread that wakes
 * up owns the resource, and no thread can have come in between. The last exclusive release lets all readers in if any wait,
 * else the first writer; the last shared release the first writer.
 *
 * A waiter lends the exclusive owner its priority, and an I/O boost, which the owner gives back with its last release.
 * An owner that ends without one is found when its thread is deleted (0x13C). A release by a thread that owns nothing is
 * found in the shared path only (0xE3); in the exclusive path the free build, as NT's, believes the caller.
 *
 * Normal kernel APCs must be disabled by the caller (KeEnterCriticalRegion): an APC that wants the resource from its owner's
 * thread would wait for it forever. Free builds do not check. */
#include <ex.h>

#define TAG_RESOURCE 'RsxE'
#define FIRST_TABLE_SIZE 4
#define RESOURCE_DISABLE_BOOST 0x08
#define WAIT_INTERVAL (500 * 10000LL) /* 100 ns: then a waiter looks after the owner's priority */
#define WAITED_LONG 2                 /* levels above the waiter's own that it grants then */
#define PATH_EXCLUSIVE 1              /* RESOURCE_NOT_OWNED, parameter 4 */
#define PATH_SHARED 2

KE_DECLARE_LOCK(ExpResourceSpinLock, RANK_RESOURCE, "the list of all resources");

LIST_ENTRY ExpSystemResourcesList = {&ExpSystemResourcesList, &ExpSystemResourcesList};

/* Lies on the stack of a thread that waits; linked from SharedWaiters or ExclusiveWaiters in the order of arrival. */
typedef struct _RESOURCE_WAITER {
    struct _RESOURCE_WAITER *Next;
    ERESOURCE_THREAD Thread;
    KEVENT Granted;
} RESOURCE_WAITER;

typedef enum _SHARE_POLICY { ShareFairly, ShareStarvingWriters, ShareAfterWriters } SHARE_POLICY;

static ERESOURCE_THREAD CurrentOwner(VOID) {
    return (ERESOURCE_THREAD)KiCurrentThread();
}

static BOOLEAN IsOwnedExclusive(const ERESOURCE *Resource) {
    return (Resource->Flag & ResourceOwnedExclusive) != 0;
}

/* The table that a table has replaced. A deadlock report looks for owners without the resource's lock, so the
 * smaller tables stay until the resource goes; all together they are smaller than the last. */
static POWNER_ENTRY SmallerTable(const OWNER_ENTRY *Table) {
    return (POWNER_ENTRY)Table[0].OwnerThread; /* which in the first entry is no thread's */
}

/* ---- Life ---- */

static VOID ResetResource(PERESOURCE Resource) {
    LIST_ENTRY Links = Resource->SystemResourcesList;
    POWNER_ENTRY Table = Resource->OwnerTable;
    *Resource = (ERESOURCE){.SystemResourcesList = Links, .OwnerTable = Table};
}

/* <= DISPATCH_LEVEL; the resource lies in resident memory, aligned to 8 bytes, and must be deleted before that goes.
 * wdm.h: ExInitializeResourceLite. */
NTSTATUS ExInitializeResourceLite(PERESOURCE Resource) {
    *Resource = (ERESOURCE){0};
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&ExpResourceSpinLock);
    InsertTailList(&ExpSystemResourcesList, &Resource->SystemResourcesList);
    KeReleaseSpinLock(&ExpResourceSpinLock, OldIrql);
    return STATUS_SUCCESS;
}

/* It has no owner and no waiter. <= DISPATCH_LEVEL. wdm.h: ExReinitializeResourceLite. */
NTSTATUS ExReinitializeResourceLite(PERESOURCE Resource) {
    POWNER_ENTRY Table = Resource->OwnerTable;
    if (Table != NULL) {
        memset(&Table[1], 0, (Table[0].TableSize - 1) * sizeof(*Table));
    }
    ResetResource(Resource);
    return STATUS_SUCCESS;
}

/* It is out of use; a free build does not check. <= DISPATCH_LEVEL. wdm.h: ExDeleteResourceLite. */
NTSTATUS ExDeleteResourceLite(PERESOURCE Resource) {
    NT_ASSERT(Resource->ActiveEntries == 0);
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&ExpResourceSpinLock);
    RemoveEntryList(&Resource->SystemResourcesList);
    KeReleaseSpinLock(&ExpResourceSpinLock, OldIrql);
    POWNER_ENTRY Table = Resource->OwnerTable;
    Resource->OwnerTable = NULL;
    while (Table != NULL) {
        POWNER_ENTRY Smaller = SmallerTable(Table);
        ExFreePoolWithTag(Table, TAG_RESOURCE);
        Table = Smaller;
    }
    return STATUS_SUCCESS;
}

/* ---- Owner entries: the resource's spin lock is held ---- */

/* Entries that there is room for: the one in the resource, and the table's but its first, which holds its size. */
static ULONG Capacity(const ERESOURCE *Resource) {
    return Resource->OwnerTable ? Resource->OwnerTable[0].TableSize : 1;
}

/* The entry of one owner; Owner 0: a free entry. NULL if there is none. */
static POWNER_ENTRY FindOwner(PERESOURCE Resource, ERESOURCE_THREAD Owner) {
    if (Resource->OwnerEntry.OwnerThread == Owner) {
        return &Resource->OwnerEntry;
    }
    for (ULONG i = 1; i < Capacity(Resource); i++) {
        if (Resource->OwnerTable[i].OwnerThread == Owner) {
            return &Resource->OwnerTable[i];
        }
    }
    return NULL;
}

/* Exchanges the table for a larger one. FALSE: another thread has done so. */
static BOOLEAN InstallTable(PERESOURCE Resource, POWNER_ENTRY Larger, ULONG Size) {
    POWNER_ENTRY Old = Resource->OwnerTable;
    if (Capacity(Resource) >= Size) {
        return FALSE;
    }
    if (Old != NULL) {
        memcpy(Larger, Old, Old[0].TableSize * sizeof(*Old));
    }
    Larger[0].TableSize = Size;
    Larger[0].OwnerThread = (ERESOURCE_THREAD)Old;
    __atomic_store_n(&Resource->OwnerTable, Larger, __ATOMIC_RELEASE); /* pairs with ExQueryResourceOwner's look */
    return TRUE;
}

/* Makes room for one more owner beside those that own it or wait to share it: a release that lets them in cannot
 * allocate. Lock held in and out, but not in between; without memory it waits for some. */
static VOID ReserveEntry(PERESOURCE Resource, PKIRQL OldIrql) {
    while (Capacity(Resource) < Resource->ActiveEntries + Resource->NumberOfSharedWaiters + 1) {
        ULONG Size = Resource->OwnerTable ? 2 * Capacity(Resource) : FIRST_TABLE_SIZE;
        KeReleaseSpinLock(&Resource->SpinLock, *OldIrql);
        POWNER_ENTRY Table = ExAllocatePoolWithTag(NonPagedPoolNx, Size * sizeof(*Table), TAG_RESOURCE);
        if (Table == NULL) {
            LARGE_INTEGER Interval = {.QuadPart = -10 * 10000LL};
            KeDelayExecutionThread(KernelMode, FALSE, &Interval);
        } else {
            memset(Table, 0, Size * sizeof(*Table));
        }
        *OldIrql = KeAcquireSpinLockRaiseToDpc(&Resource->SpinLock);
        if (Table != NULL && !InstallTable(Resource, Table, Size)) {
            ExFreePoolWithTag(Table, TAG_RESOURCE);
        }
    }
}

/* ---- Boosts: lock held ---- */

/* The owner may be an owner pointer: a thread's address, perhaps, with two more bits. */
static PKTHREAD OwnerThread(const ERESOURCE *Resource) {
    return (PKTHREAD)(Resource->OwnerEntry.OwnerThread & ~(ERESOURCE_THREAD)3);
}

static VOID BoostOwner(PERESOURCE Resource, KPRIORITY Priority) {
    POWNER_ENTRY Entry = &Resource->OwnerEntry;
    if (!IsOwnedExclusive(Resource) || Resource->Flag & RESOURCE_DISABLE_BOOST) {
        return;
    }
    if (KeBoostLockOwner(OwnerThread(Resource), Priority, !Entry->IoPriorityBoosted)) {
        Entry->IoPriorityBoosted = 1;
    }
}

static VOID ReturnBoost(PERESOURCE Resource) {
    if (Resource->OwnerEntry.IoPriorityBoosted) {
        Resource->OwnerEntry.IoPriorityBoosted = 0;
        KeBoostLockOwner(OwnerThread(Resource), LOW_PRIORITY, -1);
    }
}

/* ---- Granting: lock held ---- */

static VOID GrantExclusive(PERESOURCE Resource, ERESOURCE_THREAD Owner) {
    Resource->OwnerEntry = (OWNER_ENTRY){.OwnerThread = Owner, .OwnerCount = 1};
    Resource->Flag |= ResourceOwnedExclusive;
    Resource->ActiveEntries = 1;
    Resource->ActiveCount = 1;
}

static VOID GrantShared(PERESOURCE Resource, ERESOURCE_THREAD Owner) {
    POWNER_ENTRY Entry = FindOwner(Resource, Owner);
    if (Entry != NULL) {
        Entry->OwnerCount++;
        return;
    }
    Entry = FindOwner(Resource, 0);
    NT_ASSERT(Entry != NULL);
    *Entry = (OWNER_ENTRY){.OwnerThread = Owner, .OwnerCount = 1};
    Resource->ActiveEntries++;
    Resource->ActiveCount = (SHORT)Resource->ActiveEntries;
}

/* The list of those who now own the resource and have not been told. */
static RESOURCE_WAITER *GrantAllShared(PERESOURCE Resource) {
    RESOURCE_WAITER *First = Resource->SharedWaiters;
    for (RESOURCE_WAITER *Waiter = First; Waiter != NULL; Waiter = Waiter->Next) {
        GrantShared(Resource, Waiter->Thread);
    }
    Resource->SharedWaiters = NULL;
    Resource->NumberOfSharedWaiters = 0;
    return First;
}

static RESOURCE_WAITER *GrantFirstExclusive(PERESOURCE Resource) {
    RESOURCE_WAITER *First = Resource->ExclusiveWaiters;
    Resource->ExclusiveWaiters = First->Next;
    Resource->NumberOfExclusiveWaiters--;
    First->Next = NULL;
    GrantExclusive(Resource, First->Thread);
    if (Resource->NumberOfExclusiveWaiters + Resource->NumberOfSharedWaiters > 0) {
        BoostOwner(Resource, LOW_PRIORITY);
    }
    return First;
}

/* The resource has no owner left. */
static RESOURCE_WAITER *HandOver(PERESOURCE Resource, BOOLEAN WasExclusive) {
    if (Resource->SharedWaiters != NULL && (WasExclusive || Resource->ExclusiveWaiters == NULL)) {
        return GrantAllShared(Resource);
    }
    return Resource->ExclusiveWaiters ? GrantFirstExclusive(Resource) : NULL;
}

/* Lock not held. A waiter is gone as soon as its event is set. */
static VOID Tell(RESOURCE_WAITER *Waiter) {
    while (Waiter != NULL) {
        RESOURCE_WAITER *Next = Waiter->Next;
        KeSetEvent(&Waiter->Granted, IO_NO_INCREMENT, FALSE);
        Waiter = Next;
    }
}

/* ---- Waiting ---- */

/* Joins the end of a queue. Lock held in, released out. Returns as an owner. */
static VOID WaitInQueue(PERESOURCE Resource, PVOID *Queue, PULONG Count, KLOCK_KIND Kind, KIRQL OldIrql) {
    RESOURCE_WAITER Waiter = {.Thread = CurrentOwner()};
    LARGE_INTEGER Timeout = {.QuadPart = -WAIT_INTERVAL};
    KeInitializeEvent(&Waiter.Granted, SynchronizationEvent, FALSE);
    RESOURCE_WAITER **Link = (RESOURCE_WAITER **)Queue;
    while (*Link != NULL) {
        Link = &(*Link)->Next;
    }
    *Link = &Waiter;
    ++*Count;
    Resource->ContentionCount++;
    BoostOwner(Resource, KiCurrentThread()->Priority);
    KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
    KeBeginLockWait(Resource, Kind); /* so that it stays blocked between two waits */
    while (KeWaitForLock(Resource, Kind, &Waiter.Granted, WrResource, &Timeout) == STATUS_TIMEOUT) {
        OldIrql = KeAcquireSpinLockRaiseToDpc(&Resource->SpinLock);
        BoostOwner(Resource, KiCurrentThread()->Priority + WAITED_LONG);
        KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
    }
    KeEndLockWait();
}

/* ---- Acquiring ---- */

/* FALSE only with Wait = FALSE. <= APC_LEVEL, normal kernel APCs disabled. wdm.h: ExAcquireResourceExclusiveLite. */
BOOLEAN ExAcquireResourceExclusiveLite(PERESOURCE Resource, BOOLEAN Wait) {
    ERESOURCE_THREAD Me = CurrentOwner();
    BOOLEAN IsGranted = TRUE;
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&Resource->SpinLock);
    if (Resource->ActiveEntries == 0) {
        GrantExclusive(Resource, Me);
    } else if (IsOwnedExclusive(Resource) && Resource->OwnerEntry.OwnerThread == Me) {
        Resource->OwnerEntry.OwnerCount++;
    } else if (Wait) {
        WaitInQueue(Resource, &Resource->ExclusiveWaiters, &Resource->NumberOfExclusiveWaiters, LockResourceExclusive,
                    OldIrql);
        return TRUE;
    } else {
        IsGranted = FALSE;
    }
    KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
    return IsGranted;
}

/* <= APC_LEVEL. wdm.h: ExTryToAcquireResourceExclusiveLite. */
BOOLEAN ExTryToAcquireResourceExclusiveLite(PERESOURCE Resource) {
    return ExAcquireResourceExclusiveLite(Resource, FALSE);
}

/* Not owned exclusively by anyone: may one more reader come in? */
static BOOLEAN MayShare(const ERESOURCE *Resource, SHARE_POLICY Policy, BOOLEAN IsOwner) {
    return Resource->NumberOfExclusiveWaiters == 0 || Policy == ShareStarvingWriters ||
           (Policy == ShareFairly && IsOwner);
}

static BOOLEAN AcquireShared(PERESOURCE Resource, BOOLEAN Wait, SHARE_POLICY Policy) {
    ERESOURCE_THREAD Me = CurrentOwner();
    BOOLEAN IsGranted = TRUE;
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&Resource->SpinLock);
    BOOLEAN IsOwner = FindOwner(Resource, Me) != NULL;
    if (!IsOwner) {
        ReserveEntry(Resource, &OldIrql);
    }
    if (IsOwnedExclusive(Resource) ? IsOwner : MayShare(Resource, Policy, IsOwner)) {
        GrantShared(Resource, Me);
    } else if (Wait) {
        WaitInQueue(Resource, &Resource->SharedWaiters, &Resource->NumberOfSharedWaiters, LockResourceShared, OldIrql);
        return TRUE;
    } else {
        IsGranted = FALSE;
    }
    KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
    return IsGranted;
}

/* As ExAcquireResourceExclusiveLite. Behind a waiting writer, unless the thread owns it already. wdm.h:
 * ExAcquireResourceSharedLite. */
BOOLEAN ExAcquireResourceSharedLite(PERESOURCE Resource, BOOLEAN Wait) {
    return AcquireShared(Resource, Wait, ShareFairly);
}

/* Past waiting writers. wdm.h: ExAcquireSharedStarveExclusive. */
BOOLEAN ExAcquireSharedStarveExclusive(PERESOURCE Resource, BOOLEAN Wait) {
    return AcquireShared(Resource, Wait, ShareStarvingWriters);
}

/* Behind waiting writers, even as an owner: then it waits for itself. wdm.h: ExAcquireSharedWaitForExclusive. */
BOOLEAN ExAcquireSharedWaitForExclusive(PERESOURCE Resource, BOOLEAN Wait) {
    return AcquireShared(Resource, Wait, ShareAfterWriters);
}

/* ---- Releasing ---- */

/* RESOURCE_NOT_OWNED (resource, thread, owner table, path), or ERESOURCE_INVALID_RELEASE (resource, current thread, the
 * owner that was named) if that is another thread. Lock held in. */
static DECLSPEC_NORETURN VOID RefuseRelease(PERESOURCE Resource, ERESOURCE_THREAD Owner, ULONG Path) {
    KeReleaseSpinLockFromDpcLevel(&Resource->SpinLock);
    if (Owner != CurrentOwner()) {
        KeBugCheckEx(ERESOURCE_INVALID_RELEASE, (ULONG_PTR)Resource, CurrentOwner(), Owner, 0);
    }
    KeBugCheckEx(RESOURCE_NOT_OWNED, (ULONG_PTR)Resource, Owner, (ULONG_PTR)Resource->OwnerTable, Path);
}

/* The entry that a release by Owner counts down. Lock held. */
static POWNER_ENTRY EntryToRelease(PERESOURCE Resource, ERESOURCE_THREAD Owner) {
    if (!IsOwnedExclusive(Resource)) {
        POWNER_ENTRY Entry = FindOwner(Resource, Owner);
        if (Entry == NULL) {
            RefuseRelease(Resource, Owner, PATH_SHARED);
        }
        return Entry;
    }
    BOOLEAN IsTrusted = !DBG && Owner == CurrentOwner();
    if (!IsTrusted && Resource->OwnerEntry.OwnerThread != Owner) {
        RefuseRelease(Resource, Owner, PATH_EXCLUSIVE);
    }
    return &Resource->OwnerEntry;
}

static VOID Release(PERESOURCE Resource, ERESOURCE_THREAD Owner) {
    RESOURCE_WAITER *Granted = NULL;
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&Resource->SpinLock);
    POWNER_ENTRY Entry = EntryToRelease(Resource, Owner);
    if (--Entry->OwnerCount == 0) {
        BOOLEAN WasExclusive = IsOwnedExclusive(Resource);
        ReturnBoost(Resource);
        *Entry = (OWNER_ENTRY){0};
        Resource->Flag &= ~ResourceOwnedExclusive;
        Resource->ActiveCount = (SHORT)--Resource->ActiveEntries;
        if (Resource->ActiveEntries == 0) {
            Granted = HandOver(Resource, WasExclusive);
        }
    }
    KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
    Tell(Granted);
}

/* <= DISPATCH_LEVEL. 0xE3 if the thread does not own it. wdm.h: ExReleaseResourceLite. */
VOID ExReleaseResourceLite(PERESOURCE Resource) {
    Release(Resource, CurrentOwner());
}

/* On behalf of another thread, or of an owner pointer; 0x16E if it does not own the resource. <= DISPATCH_LEVEL. wdm.h:
 * ExReleaseResourceForThreadLite. */
VOID ExReleaseResourceForThreadLite(PERESOURCE Resource, ERESOURCE_THREAD ResourceThreadId) {
    Release(Resource, ResourceThreadId);
}

/* The exclusive owner goes on as a shared one, as often as before, and all readers that wait come in. <= DISPATCH_LEVEL.
 * wdm.h: ExConvertExclusiveToSharedLite. */
VOID ExConvertExclusiveToSharedLite(PERESOURCE Resource) {
    NT_ASSERT(ExIsResourceAcquiredExclusiveLite(Resource));
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&Resource->SpinLock);
    ReturnBoost(Resource);
    Resource->Flag &= ~ResourceOwnedExclusive;
    RESOURCE_WAITER *Granted = GrantAllShared(Resource);
    KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
    Tell(Granted);
}

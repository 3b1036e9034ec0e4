/* resourcequery.c: resource queries, owners that are not threads, and calls that enter a critical region. */
#include <ex.h>

#define RESOURCE_DISABLE_BOOST 0x08

/* The entry of Owner, or NULL. The resource's spin lock is held. */
static POWNER_ENTRY FindEntry(PERESOURCE Resource, ERESOURCE_THREAD Owner) {
    if (Resource->OwnerEntry.OwnerThread == Owner) {
        return &Resource->OwnerEntry;
    }
    for (ULONG i = 1; Resource->OwnerTable != NULL && i < Resource->OwnerTable[0].TableSize; i++) {
        if (Resource->OwnerTable[i].OwnerThread == Owner) {
            return &Resource->OwnerTable[i];
        }
    }
    return NULL;
}

/* <= DISPATCH_LEVEL. wdm.h: ExIsResourceAcquiredExclusiveLite. */
BOOLEAN ExIsResourceAcquiredExclusiveLite(PERESOURCE Resource) {
    return (Resource->Flag & ResourceOwnedExclusive) &&
           Resource->OwnerEntry.OwnerThread == (ERESOURCE_THREAD)KiCurrentThread();
}

/* How often the thread has acquired it, in whichever way. <= DISPATCH_LEVEL. wdm.h: ExIsResourceAcquiredSharedLite. */
ULONG ExIsResourceAcquiredSharedLite(PERESOURCE Resource) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&Resource->SpinLock);
    POWNER_ENTRY Entry = FindEntry(Resource, (ERESOURCE_THREAD)KiCurrentThread());
    ULONG Count = Entry ? Entry->OwnerCount : 0;
    KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
    return Count;
}

/* <= DISPATCH_LEVEL; a snapshot. wdm.h: ExGetExclusiveWaiterCount. */
ULONG ExGetExclusiveWaiterCount(PERESOURCE Resource) {
    return Resource->NumberOfExclusiveWaiters;
}

ULONG ExGetSharedWaiterCount(PERESOURCE Resource) {
    return Resource->NumberOfSharedWaiters;
}

/* Waiters leave the owner's priority alone from now on. <= DISPATCH_LEVEL. wdm.h: ExDisableResourceBoostLite. */
VOID ExDisableResourceBoostLite(PERESOURCE Resource) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&Resource->SpinLock);
    Resource->Flag |= RESOURCE_DISABLE_BOOST;
    KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
}

/* ---- Owner pointers ---- */

/* Gives what the thread owns to Owner. RESOURCE_OWNER_POINTER_INVALID if it owns nothing. */
static VOID ChangeOwner(PERESOURCE Resource, ERESOURCE_THREAD Owner) {
    ERESOURCE_THREAD Me = (ERESOURCE_THREAD)KiCurrentThread();
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&Resource->SpinLock);
    POWNER_ENTRY Entry = FindEntry(Resource, Me), Other = FindEntry(Resource, Owner);
    if (Entry == NULL) {
        KeReleaseSpinLockFromDpcLevel(&Resource->SpinLock);
        KeBugCheckEx(RESOURCE_OWNER_POINTER_INVALID, (ULONG_PTR)Resource, (ULONG_PTR)Resource->OwnerTable, Me, Owner);
    }
    if (Other != NULL && Other != Entry) {
        Other->OwnerCount += Entry->OwnerCount;
        *Entry = (OWNER_ENTRY){0};
        Resource->ActiveCount = (SHORT)--Resource->ActiveEntries;
    } else {
        if (Entry->IoPriorityBoosted) { /* the next waiter's time-out boosts the new owner, if that is a thread */
            Entry->IoPriorityBoosted = 0;
            KeBoostLockOwner((PKTHREAD)Me, LOW_PRIORITY, -1);
        }
        Entry->OwnerThread = Owner;
    }
    KeReleaseSpinLock(&Resource->SpinLock, OldIrql);
}

/* The resource belongs to an object from now on, and any thread may release it with ExReleaseResourceForThreadLite.
 * OwnerPointer has its two lowest bits set (0x132). <= DISPATCH_LEVEL, by an owner. wdm.h: ExSetResourceOwnerPointer. */
VOID ExSetResourceOwnerPointer(PERESOURCE Resource, PVOID OwnerPointer) {
    ExSetResourceOwnerPointerEx(Resource, OwnerPointer, 0);
}

/* Flags: FLAG_OWNER_POINTER_IS_THREAD. */
VOID ExSetResourceOwnerPointerEx(PERESOURCE Resource, PVOID OwnerPointer, ULONG Flags) {
    ERESOURCE_THREAD Owner = (ERESOURCE_THREAD)OwnerPointer;
    if ((Owner & EX_OWNER_POINTER_BITS) != EX_OWNER_POINTER_BITS && !(Flags & FLAG_OWNER_POINTER_IS_THREAD)) {
        KeBugCheckEx(RESOURCE_OWNER_POINTER_INVALID, (ULONG_PTR)Resource, (ULONG_PTR)Resource->OwnerTable,
                     (ULONG_PTR)KiCurrentThread(), Owner);
    }
    ChangeOwner(Resource, Owner);
}

/* ---- With a critical region; <= APC_LEVEL. They return what NT returns: the thread's Win32 part, of which there is none
 * ---- */

PVOID ExEnterCriticalRegionAndAcquireResourceExclusive(PERESOURCE Resource) {
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(Resource, TRUE);
    return NULL;
}

PVOID ExEnterCriticalRegionAndAcquireResourceShared(PERESOURCE Resource) {
    KeEnterCriticalRegion();
    ExAcquireResourceSharedLite(Resource, TRUE);
    return NULL;
}

PVOID ExEnterCriticalRegionAndAcquireSharedWaitForExclusive(PERESOURCE Resource) {
    KeEnterCriticalRegion();
    ExAcquireSharedWaitForExclusive(Resource, TRUE);
    return NULL;
}

/* The counterpart of all three. */
VOID ExReleaseResourceAndLeaveCriticalRegion(PERESOURCE Resource) {
    ExReleaseResourceLite(Resource);
    KeLeaveCriticalRegion();
}

/* autoboost.c: a thread's lock entries: up to six fast mutexes, guarded mutexes and push locks held.
 *
 *      acquire         the first free entry gets the lock's address      none is free: only UntrackedLocks counts it
 *      release         the entry is cleared                              there is none, nor an untracked lock: 0x162
 *      thread deleted  an entry is in use: 0x153                         it still carries an I/O boost: 0x13C
 *
 * NT keeps the entries so that a waiter can raise the priority of an owner that these locks do not name; a driver
 * notices only that they also find wrong releases and locks left behind. Only the thread itself writes its entries, so
 * they need no lock. An APC between the look at an entry and the write to it is harmless, because it leaves no lock
 * behind.
 *
 * Both checks at the end happen when the thread's object is deleted, long after the culprit has gone: by the reaper, or
 * by the code that drops the last reference. A thread object is in KiThreadObjects until then. */
#include "ki.h"
#include <ring.h>

#define BOOST_LIMIT (LOW_REALTIME_PRIORITY - 1)

/* Every thread object from its initialization to its deletion; guarded by the dispatcher lock. */
LIST_ENTRY KiThreadObjects = {&KiThreadObjects, &KiThreadObjects};

/* INVALID_IO_BOOST_STATE (thread, boosts, 1, 0): it ended as the exclusive owner of a resource with waiters.
 * KERNEL_LOCK_ENTRY_LEAKED_ON_THREAD_TERMINATION (thread, entry, 1, lock). */
static VOID CheckLeftLocks(PKTHREAD Thread) {
    if (Thread->IoBoostCount != 0) {
        KeBugCheckEx(INVALID_IO_BOOST_STATE, (ULONG_PTR)Thread, (ULONG)Thread->IoBoostCount, 1, 0);
    }
    for (ULONG i = 0; i < MAXIMUM_LOCK_ENTRIES; i++) {
        PKLOCK_ENTRY Entry = &Thread->LockEntries[i];
        if (Entry->Lock != NULL) {
            KeBugCheckEx(KERNEL_LOCK_ENTRY_LEAKED_ON_THREAD_TERMINATION, (ULONG_PTR)Thread, (ULONG_PTR)Entry, 1,
                         (ULONG_PTR)Entry->Lock);
        }
    }
}

/* A thread's object is in the list from the moment when the thread is laid out until the last reference is gone. One that
 * was never laid out is in no list; in the list Flink changes with the neighbours, but is never NULL. */
static VOID WatchThread(PETHREAD Thread, KE_THREAD_EVENT Event) {
    PLIST_ENTRY Entry = &Thread->Tcb.ObjectListEntry;
    BOOLEAN IsGoing = Event == ThreadDeleted && ReadPointerNoFence(&Entry->Flink) != NULL;
    if (IsGoing) {
        CheckLeftLocks(&Thread->Tcb);
    }
    KIRQL OldIrql = KiLockDispatcher();
    if (Event == ThreadInitialized) {
        InsertTailList(&KiThreadObjects, Entry);
    } else if (IsGoing) {
        RemoveEntryList(Entry);
    }
    KiUnlockDispatcher(OldIrql);
}
KE_THREAD_WATCH(0, WatchThread);

/* A lock may name an owner whose object is long gone. Dispatcher lock held. */
static BOOLEAN IsThreadObject(PKTHREAD Thread) {
    for (PLIST_ENTRY Entry = KiThreadObjects.Flink; Entry != &KiThreadObjects; Entry = Entry->Flink) {
        if (CONTAINING_RECORD(Entry, KTHREAD, ObjectListEntry) == Thread) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Raises the owner of a lock to at least Priority, that of a waiter; the boost wears off with the owner's quanta.
 * IoBoost is added to its count of I/O boosts. */
BOOLEAN KeBoostLockOwner(PKTHREAD Owner, KPRIORITY Priority, LONG IoBoost) {
    KIRQL OldIrql = KiLockDispatcher();
    BOOLEAN Exists = IsThreadObject(Owner);
    if (Exists) {
        Owner->IoBoostCount += IoBoost;
        Priority = Priority > BOOST_LIMIT ? BOOST_LIMIT : Priority;
        if (Owner->State != Terminated && Priority > Owner->Priority) {
            Owner->PriorityDecrement += (SCHAR)(Priority - Owner->Priority);
            KiSetThreadPriority(Owner, Priority);
        }
    }
    KiUnlockDispatcher(OldIrql);
    return Exists;
}

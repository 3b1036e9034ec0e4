/* pushlock.c: the push lock: a readers-writer lock in one pointer, whose waiters are on their own stacks.
 *
 *      0                       free
 *      LOCKED                  owned exclusively
 *      n << 4 | LOCKED         shared by n
 *      block | WAITING | ...   the waiters' blocks, newest first; with LOCKED owned; with MULTIPLE shared by as many as the
 *                              oldest block counts; with WAKING a thread is busy with the list
 *
 * The newest waiter pushes its block in front, hence the name. Only the holder of WAKING removes blocks, and WAKING is
 * set by a release that leaves the lock free with waiters: it takes out the oldest one, if that wants to be exclusive
 * and is not alone, else all. A woken thread is not handed the lock; it competes for it with any newcomer. That is
 * unfair, and never leaves a free lock unused.
 *
 * A waiter first spins a little, for most owners are quick. The owner is recorded only in its thread's lock entry
 * (ke/autoboost.c), and nothing is recursive: a second acquire by the owner waits forever. The word may lie in paged
 * memory: it is touched below DISPATCH_LEVEL only. The owner must be in a critical region. */
#include <ex.h>

#define LOCKED 1
#define WAITING 2
#define WAKING 4
#define MULTIPLE 8
#define FLAGS 15
#define ONE_SHARE 16
#define NO_AUTO_BOOST 1 /* Flags of the ...Ex calls: 1 leaves the lock out of the thread's entries, 2 is accepted */
#define VALID_FLAGS 3
#define SPINS 64

enum { WaiterSpins, WaiterSleeps, WaiterWoken };

typedef struct DECLSPEC_ALIGN(16) _PUSH_WAITER {
    struct _PUSH_WAITER *Next; /* older */
    struct _PUSH_WAITER *Last; /* the oldest one, in itself; NULL elsewhere */
    volatile LONG ShareCount;  /* in the oldest one: the sharers, if MULTIPLE */
    volatile LONG State;
    BOOLEAN IsExclusive;
    KEVENT Event;
} PUSH_WAITER;

static ULONG_PTR ReadLock(PEX_PUSH_LOCK Lock) {
    return __atomic_load_n(Lock, __ATOMIC_ACQUIRE);
}

/* *Old is the new contents if it fails. */
static BOOLEAN ChangeLock(PEX_PUSH_LOCK Lock, ULONG_PTR *Old, ULONG_PTR New) {
    return __atomic_compare_exchange_n(Lock, Old, New, FALSE, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
}

static PUSH_WAITER *NewestWaiter(ULONG_PTR Value) {
    return (PUSH_WAITER *)(Value & ~(ULONG_PTR)FLAGS);
}

static PUSH_WAITER *OldestWaiter(ULONG_PTR Value) {
    PUSH_WAITER *Waiter = NewestWaiter(Value);
    while (Waiter->Last == NULL) {
        Waiter = Waiter->Next;
    }
    return Waiter;
}

/* ---- Waking ---- */

/* The block is gone as soon as its state says so, unless its thread sleeps: that waits for the event. */
static VOID WakeWaiter(PUSH_WAITER *Waiter) {
    if (__atomic_exchange_n(&Waiter->State, WaiterWoken, __ATOMIC_ACQ_REL) == WaiterSleeps) {
        KeSetEvent(&Waiter->Event, IO_NO_INCREMENT, FALSE);
    }
}

/* Takes the oldest waiter out; there is a newer one. Its new oldest is the one that points to it. */
static VOID UnlinkOldest(ULONG_PTR Value, PUSH_WAITER *Oldest) {
    PUSH_WAITER *Previous = NewestWaiter(Value);
    while (Previous->Next != Oldest) {
        Previous = Previous->Next;
    }
    Previous->Next = NULL;
    Previous->Last = Previous;
    Previous->ShareCount = 0;
}

/* The caller has set WAKING in Value. Gives it up again, with some waiters woken, or none if the lock is owned already: then
 * its release will see to them. */
static VOID WakeSome(PEX_PUSH_LOCK Lock, ULONG_PTR Value) {
    for (;;) {
        if (Value & LOCKED) {
            if (ChangeLock(Lock, &Value, Value & ~(ULONG_PTR)WAKING)) {
                return;
            }
            continue;
        }
        PUSH_WAITER *Oldest = OldestWaiter(Value);
        if (Oldest->IsExclusive && Oldest != NewestWaiter(Value)) {
            UnlinkOldest(Value, Oldest);
            __atomic_fetch_and(Lock, ~(ULONG_PTR)WAKING, __ATOMIC_SEQ_CST);
            WakeWaiter(Oldest);
            return;
        }
        if (ChangeLock(Lock, &Value, 0)) {
            for (PUSH_WAITER *Waiter = NewestWaiter(Value), *Next; Waiter != NULL; Waiter = Next) {
                Next = Waiter->Next;
                WakeWaiter(Waiter);
            }
            return;
        }
    }
}

/* ---- Waiting ---- */

/* Pushes Waiter if the lock still has the value Old. */
static BOOLEAN PushWaiter(PEX_PUSH_LOCK Lock, ULONG_PTR *Old, PUSH_WAITER *Waiter) {
    ULONG_PTR New = (ULONG_PTR)Waiter | WAITING | (*Old & (LOCKED | WAKING | MULTIPLE));
    Waiter->State = WaiterSpins;
    if (*Old & WAITING) {
        Waiter->Next = NewestWaiter(*Old);
        Waiter->Last = NULL;
    } else {
        ULONG_PTR Shares = *Old / ONE_SHARE;
        Waiter->Next = NULL;
        Waiter->Last = Waiter;
        Waiter->ShareCount = Shares > 1 ? (LONG)Shares : 0;
        New |= Shares > 1 ? MULTIPLE : 0;
    }
    return ChangeLock(Lock, Old, New);
}

static VOID SpinOrSleep(PEX_PUSH_LOCK Lock, PUSH_WAITER *Waiter, KLOCK_KIND Kind) {
    for (ULONG i = 0; i < SPINS && KeNumberProcessors > 1; i++) {
        if (__atomic_load_n(&Waiter->State, __ATOMIC_ACQUIRE) == WaiterWoken) {
            return;
        }
        YieldProcessor();
    }
    LONG State = WaiterSpins;
    if (__atomic_compare_exchange_n(&Waiter->State, &State, WaiterSleeps, FALSE, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        KeWaitForLock(Lock, Kind, &Waiter->Event, WrPushLock, NULL);
    }
}

/* ---- Acquiring ---- */

static BOOLEAN TryExclusive(PEX_PUSH_LOCK Lock, ULONG_PTR *Old) {
    while (!(*Old & LOCKED)) {
        if (ChangeLock(Lock, Old, *Old | LOCKED)) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Readers join readers as long as no thread waits. */
static BOOLEAN TryShared(PEX_PUSH_LOCK Lock, ULONG_PTR *Old) {
    while (!(*Old & LOCKED) || (!(*Old & WAITING) && *Old >= ONE_SHARE)) {
        ULONG_PTR New = *Old & WAITING ? *Old | LOCKED : (*Old + ONE_SHARE) | LOCKED;
        if (ChangeLock(Lock, Old, New)) {
            return TRUE;
        }
    }
    return FALSE;
}

/* INVALID_PUSH_LOCK_FLAGS (flags, lock, 0, 0); 0x192 at DISPATCH_LEVEL or above. */
static VOID CheckCall(PEX_PUSH_LOCK Lock, ULONG Flags) {
    if (Flags & ~VALID_FLAGS) {
        KeBugCheckEx(INVALID_PUSH_LOCK_FLAGS, Flags, (ULONG_PTR)Lock, 0, 0);
    }
}

static VOID CheckAcquire(PEX_PUSH_LOCK Lock, ULONG Flags) {
    CheckCall(Lock, Flags);
    if (KiCurrentIrql() >= DISPATCH_LEVEL) {
        KeAbRefuseIrql(Lock, KiCurrentIrql());
    }
}

static VOID NoteAcquired(PEX_PUSH_LOCK Lock, ULONG Flags) {
    if (!(Flags & NO_AUTO_BOOST)) {
        KeAbAcquired(Lock);
    }
}

static VOID Acquire(PEX_PUSH_LOCK Lock, ULONG Flags, BOOLEAN IsExclusive) {
    PUSH_WAITER Waiter;
    CheckAcquire(Lock, Flags);
    ULONG_PTR Old = ReadLock(Lock);
    while (!(IsExclusive ? TryExclusive(Lock, &Old) : TryShared(Lock, &Old))) {
        KeInitializeEvent(&Waiter.Event, SynchronizationEvent, FALSE);
        Waiter.IsExclusive = IsExclusive;
        if (PushWaiter(Lock, &Old, &Waiter)) {
            SpinOrSleep(Lock, &Waiter, IsExclusive ? LockPushExclusive : LockPushShared);
            Old = ReadLock(Lock);
        }
    }
    NoteAcquired(Lock, Flags);
}

/* Any IRQL. wdm.h: ExInitializePushLock. */
VOID ExInitializePushLock(PEX_PUSH_LOCK PushLock) {
    *PushLock = 0;
}

/* <= APC_LEVEL, in a critical region; may wait. wdm.h: ExAcquirePushLockExclusive. */
VOID ExAcquirePushLockExclusiveEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
    Acquire(PushLock, Flags, TRUE);
}

/* The same. wdm.h: ExAcquirePushLockShared. */
VOID ExAcquirePushLockSharedEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
    Acquire(PushLock, Flags, FALSE);
}

/* The same without waiting. ntifs.h: ExTryAcquirePushLockExclusive. */
BOOLEAN ExTryAcquirePushLockExclusiveEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
    CheckAcquire(PushLock, Flags);
    ULONG_PTR Old = ReadLock(PushLock);
    if (!TryExclusive(PushLock, &Old)) {
        return FALSE;
    }
    NoteAcquired(PushLock, Flags);
    return TRUE;
}

BOOLEAN ExTryAcquirePushLockSharedEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
    CheckAcquire(PushLock, Flags);
    ULONG_PTR Old = ReadLock(PushLock);
    if (!TryShared(PushLock, &Old)) {
        return FALSE;
    }
    NoteAcquired(PushLock, Flags);
    return TRUE;
}

/* ---- Releasing ---- */

static VOID NoteReleased(PEX_PUSH_LOCK Lock, ULONG Flags) {
    CheckCall(Lock, Flags);
    if (!(Flags & NO_AUTO_BOOST)) {
        KeAbReleased(Lock);
    }
}

/* The last owner leaves: takes Cleared out of the lock, and wakes waiters if no other thread is about to. */
static VOID LeaveFree(PEX_PUSH_LOCK Lock, ULONG_PTR Old, ULONG_PTR Cleared) {
    for (;;) {
        BOOLEAN Wakes = (Old & (WAITING | WAKING)) == WAITING;
        ULONG_PTR New = (Old & ~Cleared) | (Wakes ? WAKING : 0);
        if (ChangeLock(Lock, &Old, New)) {
            if (Wakes) {
                WakeSome(Lock, New);
            }
            return;
        }
    }
}

/* <= APC_LEVEL, by the owner, in its critical region. 0x162 for a thread that has not acquired it. wdm.h:
 * ExReleasePushLockExclusive. */
VOID ExReleasePushLockExclusiveEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
    NoteReleased(PushLock, Flags);
    LeaveFree(PushLock, ReadLock(PushLock), LOCKED);
}

static VOID ReleaseShared(PEX_PUSH_LOCK Lock) {
    ULONG_PTR Old = ReadLock(Lock);
    while (!(Old & WAITING)) {
        ULONG_PTR New = Old >= 2 * ONE_SHARE ? Old - ONE_SHARE : 0;
        if (ChangeLock(Lock, &Old, New)) {
            return;
        }
    }
    if (Old & MULTIPLE && InterlockedDecrement(&OldestWaiter(Old)->ShareCount) > 0) {
        return; /* the others are still there, so the waiters are too */
    }
    LeaveFree(Lock, Old, LOCKED | MULTIPLE);
}

/* The same. wdm.h: ExReleasePushLockShared. */
VOID ExReleasePushLockSharedEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
    NoteReleased(PushLock, Flags);
    ReleaseShared(PushLock);
}

/* For an owner that does not remember how it acquired the lock. */
VOID ExReleasePushLockEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
    ULONG_PTR Value = ReadLock(PushLock);
    if (!(Value & WAITING) && Value < ONE_SHARE) {
        ExReleasePushLockExclusiveEx(PushLock, Flags);
    } else {
        ExReleasePushLockSharedEx(PushLock, Flags);
    }
}

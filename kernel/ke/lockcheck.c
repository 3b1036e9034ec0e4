/* lockcheck.c: lock checks of the checked build: each CPU's list of held spin locks, with caller and rank.
 *
 * A spin lock is held at DISPATCH_LEVEL or above, so its holder cannot move to another CPU: "who holds it" is a question
 * about a CPU, and a short array in the PRCB answers it without a lock of its own. The list survives a thread switch
 * under the dispatcher lock, for the CPU stays the same.
 *
 * Ranks: every spin lock of the kernel is declared with KE_DECLARE_LOCK and a rank (docs/lock-order.md). While a lock is
 * held, only locks of a higher rank may be taken; locks without a declaration (a driver's, a queue's in a PRCB) are not
 * ranked. An interrupt may come while any lock is held, so a lock is only compared with those taken at its own IRQL or
 * above. Queued locks record their holder in the lock itself and are not in the list. */
#include <ke.h>
#include <trace.h>

static VOID NoteLock(KTRACE_KIND Kind, PKSPIN_LOCK Lock, PVOID Caller) {
    KdTrace(Kind, KiCurrentIrql(), (ULONG64)Lock, (ULONG64)KiCurrentThread(), (ULONG64)Caller);
}

static ULONG LockRank(PKSPIN_LOCK Lock) {
    const KLOCK_DECLARATION *Declaration = KeFindLockDeclaration(Lock);
    return Declaration ? Declaration->Rank : RANK_NONE;
}

static BOOLEAN IsHeldHere(PKPRCB Prcb, PKSPIN_LOCK Lock) {
    for (ULONG i = 0; i < Prcb->HeldLockCount; i++) {
        if (Prcb->HeldLock[i].Lock == Lock) {
            return TRUE;
        }
    }
    return FALSE;
}

/* DRIVER_VERIFIER_DETECTED_VIOLATION (0x1001, the lock wanted, the lock held, the caller). */
static VOID CheckRank(PKPRCB Prcb, PKSPIN_LOCK Lock, ULONG Rank, KIRQL Irql, PVOID Caller) {
    for (ULONG i = 0; Rank != RANK_NONE && i < Prcb->HeldLockCount; i++) {
        const KHELD_LOCK *Held = &Prcb->HeldLock[i];
        if (Held->Lock != NULL && Held->Irql >= Irql && Held->Rank >= Rank) {
            KeBugCheckEx(DRIVER_VERIFIER_DETECTED_VIOLATION, 0x1001, (ULONG_PTR)Lock, (ULONG_PTR)Held->Lock,
                         (ULONG_PTR)Caller);
        }
    }
}

/* The holder pushes an entry. An interrupt in the middle pushes and pops its own entries above, so the array stays a
 * stack as seen by each level. So the count must move first: the interrupt would overwrite an entry that is not yet
 * counted. Beyond the count each entry's Lock is NULL (a pop wipes it), so an entry that is counted but not yet filled
 * in matches no lock. */
VOID KiLockAcquired(PKSPIN_LOCK Lock, PVOID Caller) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    KIRQL Irql = KiCurrentIrql();
    ULONG Rank = LockRank(Lock);
    CheckRank(Prcb, Lock, Rank, Irql, Caller);
    ULONG Index = Prcb->HeldLockCount;
    if (Index == MAXIMUM_HELD_LOCKS) {
        KeBugCheckEx(DRIVER_VERIFIER_DETECTED_VIOLATION, 0x1001, (ULONG_PTR)Lock, MAXIMUM_HELD_LOCKS,
                     (ULONG_PTR)Caller);
    }
    KHELD_LOCK *Held = &Prcb->HeldLock[Index];
    Prcb->HeldLockCount = Index + 1;
    _ReadWriteBarrier();
    Held->Thread = Prcb->CurrentThread;
    Held->Caller = Caller;
    Held->Rank = Rank;
    Held->Irql = Irql;
    _ReadWriteBarrier();
    Held->Lock = Lock;
    NoteLock(TraceAcquire, Lock, Caller);
}

/* Locks need not be released in the reverse order of acquiring, so the entry may be anywhere. */
VOID KiLockReleasing(PKSPIN_LOCK Lock, PVOID Caller) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    for (ULONG i = Prcb->HeldLockCount; i-- > 0;) {
        if (Prcb->HeldLock[i].Lock == Lock) {
            for (ULONG j = i; j + 1 < Prcb->HeldLockCount; j++) {
                Prcb->HeldLock[j] = Prcb->HeldLock[j + 1];
            }
            Prcb->HeldLock[Prcb->HeldLockCount - 1].Lock = NULL;
            _ReadWriteBarrier();
            Prcb->HeldLockCount--;
            NoteLock(TraceRelease, Lock, Caller);
            return;
        }
    }
    KeBugCheckEx(SPIN_LOCK_NOT_OWNED, (ULONG_PTR)Lock, (ULONG_PTR)Caller, KiCurrentIrql(), Prcb->Number);
}

VOID KiLockContended(PKSPIN_LOCK Lock, PVOID Caller) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    if (IsHeldHere(Prcb, Lock)) {
        KeBugCheckEx(SPIN_LOCK_ALREADY_OWNED, (ULONG_PTR)Lock, (ULONG_PTR)Caller, KiCurrentIrql(), Prcb->Number);
    }
    NoteLock(TraceContend, Lock, Caller);
}

/* checkedlock.c: IRQL and spin locks of the checked build: the free build's listings with notes around.
 *
 * The listings are irql.asm, spinlock.asm and queuedlock.asm. In this build they go by Ki names
 * (arch/x86_64/checked.inc), and the public names are here. The notes: the direction of every IRQL change is checked,
 * and the change goes to the event trace; so does every wait for a lock, its acquire and its release; lockcheck.c keeps
 * its holder. IRQLs and locks are as in the listings. */
#include "ki.h"
#include <trace.h>

VOID KiRaiseIrql(KIRQL NewIrql);
VOID KiLowerIrql(KIRQL NewIrql);
VOID KiAcquireSpinLockAtDpcLevel(PKSPIN_LOCK Lock);
BOOLEAN KiTryToAcquireSpinLockAtDpcLevel(PKSPIN_LOCK Lock);
VOID KiReleaseSpinLockFromDpcLevel(PKSPIN_LOCK Lock);
VOID KiAcquireInStackQueuedSpinLockAtDpcLevel(PKSPIN_LOCK Lock, PKLOCK_QUEUE_HANDLE Handle);
VOID KiReleaseInStackQueuedSpinLockFromDpcLevel(PKLOCK_QUEUE_HANDLE Handle);

/* ---- IRQL ---- */

VOID KiTraceIrql(ULONG OldIrql, ULONG NewIrql, PVOID Caller) {
    if (NewIrql != OldIrql) {
        KdTraceAt(KiCurrentIrql(), NewIrql > OldIrql ? TraceRaise : TraceLower, OldIrql | NewIrql << 8, 0, 0,
                  (ULONG64)Caller);
    }
}

/* The note of a raise comes after it. */
static KIRQL Raise(KIRQL NewIrql, PVOID Caller) {
    KIRQL OldIrql = KiCurrentIrql();
    KiRaiseIrql(NewIrql);
    KiTraceIrql(OldIrql, NewIrql, Caller);
    return OldIrql;
}

/* The note of a lowering comes before it, because an interrupt that comes in as soon as IRQL falls is later. */
static VOID Lower(KIRQL NewIrql, PVOID Caller) {
    KiTraceIrql(KiCurrentIrql(), NewIrql, Caller);
    KiLowerIrql(NewIrql);
}

/* IRQL_NOT_GREATER_OR_EQUAL (old level, new level, caller, 0). */
static KIRQL CheckAndRaise(KIRQL NewIrql, PVOID Caller) {
    if (NewIrql > HIGH_LEVEL || NewIrql < KiCurrentIrql()) {
        KeBugCheckEx(IRQL_NOT_GREATER_OR_EQUAL, KiCurrentIrql(), NewIrql, (ULONG_PTR)Caller, 0);
    }
    return Raise(NewIrql, Caller);
}

KIRQL KfRaiseIrql(KIRQL NewIrql) {
    return CheckAndRaise(NewIrql, _ReturnAddress());
}

KIRQL KeRaiseIrqlToDpcLevel(VOID) {
    return CheckAndRaise(DISPATCH_LEVEL, _ReturnAddress());
}

KIRQL KeRaiseIrqlToSynchLevel(VOID) {
    return CheckAndRaise(SYNCH_LEVEL, _ReturnAddress());
}

/* IRQL_NOT_LESS_OR_EQUAL (caller, old level, new level, caller). */
VOID KeLowerIrql(KIRQL NewIrql) {
    PVOID Caller = _ReturnAddress();
    if (NewIrql > KiCurrentIrql()) {
        KeBugCheckEx(IRQL_NOT_LESS_OR_EQUAL, (ULONG_PTR)Caller, KiCurrentIrql(), NewIrql, (ULONG_PTR)Caller);
    }
    Lower(NewIrql, Caller);
}

/* ---- The spin lock ---- */

/* A lock that is free here and taken before the exchange is waited for without a note. */
static VOID Acquire(PKSPIN_LOCK Lock, PVOID Caller) {
    if (!KeTestSpinLock(Lock)) {
        KiLockContended(Lock, Caller);
    }
    KiAcquireSpinLockAtDpcLevel(Lock);
    KiLockAcquired(Lock, Caller);
}

VOID KeAcquireSpinLockAtDpcLevel(PKSPIN_LOCK Lock) {
    Acquire(Lock, _ReturnAddress());
}

KIRQL KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK Lock) {
    KIRQL OldIrql = Raise(DISPATCH_LEVEL, _ReturnAddress());
    Acquire(Lock, _ReturnAddress());
    return OldIrql;
}

KIRQL KeAcquireSpinLockRaiseToSynch(PKSPIN_LOCK Lock) {
    KIRQL OldIrql = Raise(SYNCH_LEVEL, _ReturnAddress());
    Acquire(Lock, _ReturnAddress());
    return OldIrql;
}

BOOLEAN KeTryToAcquireSpinLockAtDpcLevel(PKSPIN_LOCK Lock) {
    if (!KiTryToAcquireSpinLockAtDpcLevel(Lock)) {
        return FALSE;
    }
    KiLockAcquired(Lock, _ReturnAddress());
    return TRUE;
}

VOID KeReleaseSpinLockFromDpcLevel(PKSPIN_LOCK Lock) {
    KiLockReleasing(Lock, _ReturnAddress());
    KiReleaseSpinLockFromDpcLevel(Lock);
}

VOID KeReleaseSpinLock(PKSPIN_LOCK Lock, KIRQL NewIrql) {
    KiLockReleasing(Lock, _ReturnAddress());
    KiReleaseSpinLockFromDpcLevel(Lock);
    Lower(NewIrql, _ReturnAddress());
}

/* ---- The in-stack queued spin lock: the lock itself records its holder, so only the trace gets a note ---- */

static VOID NoteQueued(KTRACE_KIND Kind, PKSPIN_LOCK Lock, PVOID Caller) {
    KdTrace(Kind, KiCurrentIrql(), (ULONG64)Lock, (ULONG64)KiCurrentThread(), (ULONG64)Caller);
}

static VOID AcquireQueued(PKSPIN_LOCK Lock, PKLOCK_QUEUE_HANDLE Handle, PVOID Caller) {
    if (!KeTestSpinLock(Lock)) {
        NoteQueued(TraceContend, Lock, Caller);
    }
    KiAcquireInStackQueuedSpinLockAtDpcLevel(Lock, Handle);
    NoteQueued(TraceAcquire, Lock, Caller);
}

static VOID ReleaseQueued(PKLOCK_QUEUE_HANDLE Handle, PVOID Caller) {
    ULONG64 Lock = (ULONG64)Handle->LockQueue.Lock & ~(ULONG64)(LOCK_QUEUE_WAIT | LOCK_QUEUE_OWNER);
    NoteQueued(TraceRelease, (PKSPIN_LOCK)Lock, Caller);
    KiReleaseInStackQueuedSpinLockFromDpcLevel(Handle);
}

VOID KeAcquireInStackQueuedSpinLockAtDpcLevel(PKSPIN_LOCK Lock, PKLOCK_QUEUE_HANDLE Handle) {
    AcquireQueued(Lock, Handle, _ReturnAddress());
}

VOID KeAcquireInStackQueuedSpinLock(PKSPIN_LOCK Lock, PKLOCK_QUEUE_HANDLE Handle) {
    Handle->OldIrql = Raise(DISPATCH_LEVEL, _ReturnAddress());
    AcquireQueued(Lock, Handle, _ReturnAddress());
}

VOID KeAcquireInStackQueuedSpinLockRaiseToSynch(PKSPIN_LOCK Lock, PKLOCK_QUEUE_HANDLE Handle) {
    Handle->OldIrql = Raise(SYNCH_LEVEL, _ReturnAddress());
    AcquireQueued(Lock, Handle, _ReturnAddress());
}

VOID KeReleaseInStackQueuedSpinLockFromDpcLevel(PKLOCK_QUEUE_HANDLE Handle) {
    ReleaseQueued(Handle, _ReturnAddress());
}

VOID KxReleaseQueuedSpinLock(PKLOCK_QUEUE_HANDLE Handle, ULONG64 NewIrql) {
    ReleaseQueued(Handle, _ReturnAddress());
    Lower((KIRQL)NewIrql, _ReturnAddress());
}

VOID KeReleaseInStackQueuedSpinLock(PKLOCK_QUEUE_HANDLE Handle) {
    KIRQL NewIrql = Handle->OldIrql; /* the handle is its owner's again as soon as the lock is free */
    ReleaseQueued(Handle, _ReturnAddress());
    Lower(NewIrql, _ReturnAddress());
}

/* queuedlock.c: NT's numbered queued spin locks, each with a queue entry in every CPU's control block.
 *
 * They are in-stack queued locks (queuedlock.asm) whose handle need not lie on the stack, because a CPU at DISPATCH_LEVEL can
 * wait for, or hold, each of them only once. */
#include "ki.h"

C_ASSERT(NUMBERED_LOCKS == LockQueueMaximumLock);

static KSPIN_LOCK QueuedLocks[LockQueueMaximumLock];

/* A queue entry is the first part of an in-stack handle; the caller keeps the rest, the old IRQL. */
static PKLOCK_QUEUE_HANDLE HandleOf(PKSPIN_LOCK_QUEUE Queue) {
    return CONTAINING_RECORD(Queue, KLOCK_QUEUE_HANDLE, LockQueue);
}

static PKSPIN_LOCK_QUEUE QueueOf(ULONG Number) {
    return &KeGetCurrentPrcb()->LockQueue[Number];
}

/* LockQueue is this CPU's entry. >= DISPATCH_LEVEL, unchanged; spins. */
VOID KeAcquireQueuedSpinLockAtDpcLevel(PKSPIN_LOCK_QUEUE LockQueue) {
    ULONG_PTR Number = (ULONG_PTR)(LockQueue - KeGetCurrentPrcb()->LockQueue);
    NT_ASSERT(Number < LockQueueMaximumLock);
    KeAcquireInStackQueuedSpinLockAtDpcLevel(&QueuedLocks[Number], HandleOf(LockQueue));
}

VOID KeReleaseQueuedSpinLockFromDpcLevel(PKSPIN_LOCK_QUEUE LockQueue) {
    KeReleaseInStackQueuedSpinLockFromDpcLevel(HandleOf(LockQueue));
}

/* <= DISPATCH_LEVEL in, DISPATCH_LEVEL out; returns the old level. */
KIRQL KeAcquireQueuedSpinLock(KSPIN_LOCK_QUEUE_NUMBER Number) {
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    KeAcquireQueuedSpinLockAtDpcLevel(QueueOf(Number));
    return OldIrql;
}

/* <= SYNCH_LEVEL in, SYNCH_LEVEL out. */
KIRQL KeAcquireQueuedSpinLockRaiseToSynch(KSPIN_LOCK_QUEUE_NUMBER Number) {
    KIRQL OldIrql = KeRaiseIrqlToSynchLevel();
    KeAcquireQueuedSpinLockAtDpcLevel(QueueOf(Number));
    return OldIrql;
}

/* FALSE, at the old level: the lock is held, or waited for. <= DISPATCH_LEVEL. */
LOGICAL KeTryToAcquireQueuedSpinLock(KSPIN_LOCK_QUEUE_NUMBER Number, PKIRQL OldIrql) {
    *OldIrql = KeRaiseIrqlToDpcLevel();
    PKSPIN_LOCK_QUEUE Queue = QueueOf(Number);
    KSPIN_LOCK Free = 0;
    Queue->Next = NULL;
    Queue->Lock = (PKSPIN_LOCK)((ULONG_PTR)&QueuedLocks[Number] | LOCK_QUEUE_OWNER);
    if (__atomic_compare_exchange_n(&QueuedLocks[Number], &Free, (KSPIN_LOCK)Queue, FALSE, __ATOMIC_ACQUIRE,
                                    __ATOMIC_RELAXED)) {
        return TRUE;
    }
    Queue->Lock = &QueuedLocks[Number];
    KeLowerIrql(*OldIrql);
    return FALSE;
}

VOID KeReleaseQueuedSpinLock(KSPIN_LOCK_QUEUE_NUMBER Number, KIRQL OldIrql) {
    KxReleaseQueuedSpinLock(HandleOf(QueueOf(Number)), OldIrql);
}

/* ---- For code that may run as a threaded DPC: at PASSIVE_LEVEL it raises, in an ordinary DPC it need not ---- */

VOID KeAcquireInStackQueuedSpinLockForDpc(PKSPIN_LOCK SpinLock, PKLOCK_QUEUE_HANDLE LockHandle) {
    KeAcquireInStackQueuedSpinLock(SpinLock, LockHandle);
}

VOID KeReleaseInStackQueuedSpinLockForDpc(PKLOCK_QUEUE_HANDLE LockHandle) {
    KeReleaseInStackQueuedSpinLock(LockHandle);
}

KIRQL KeAcquireSpinLockForDpc(PKSPIN_LOCK SpinLock) {
    return KeAcquireSpinLockRaiseToDpc(SpinLock);
}

VOID KeReleaseSpinLockForDpc(PKSPIN_LOCK SpinLock, KIRQL OldIrql) {
    KeReleaseSpinLock(SpinLock, OldIrql);
}

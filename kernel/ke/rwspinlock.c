/* rwspinlock.c: the readers-writer spin lock (EX_SPIN_LOCK): many readers or one writer, at DISPATCH_LEVEL.
 *
 *      bit 31      a writer owns it
 *      bit 30      a writer waits: no new readers come in, so that it does not wait forever
 *      bits 29-0   readers
 *
 * Nothing is recorded about owners, and nothing is recursive: a reader that acquires it again while a writer waits spins
 * forever, and so does a writer in any case. */
#include "ki.h"

#define WRITER ((LONG)0x80000000)
#define WRITER_WAITS 0x40000000

/* *Old is the new contents if it fails. */
static BOOLEAN ChangeLock(PEX_SPIN_LOCK Lock, LONG *Old, LONG New) {
    return __atomic_compare_exchange_n(Lock, Old, New, FALSE, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static LONG ReadLock(PEX_SPIN_LOCK Lock) {
    return __atomic_load_n(Lock, __ATOMIC_RELAXED);
}

/* For the watchdog's report; an interrupt's spinning in between overwrites ours, so each round notes it again. */
static VOID Spin(PEX_SPIN_LOCK Lock) {
    KeGetCurrentPrcb()->SpinningOn = (PKSPIN_LOCK)Lock;
    YieldProcessor();
}

static VOID StopSpinning(VOID) {
    KeGetCurrentPrcb()->SpinningOn = NULL;
}

/* >= DISPATCH_LEVEL. wdm.h: ExTryAcquireSpinLockSharedAtDpcLevel. */
LOGICAL ExTryAcquireSpinLockSharedAtDpcLevel(PEX_SPIN_LOCK SpinLock) {
    LONG Old = ReadLock(SpinLock);
    while (!(Old & (WRITER | WRITER_WAITS))) {
        if (ChangeLock(SpinLock, &Old, Old + 1)) {
            return TRUE;
        }
    }
    return FALSE;
}

/* >= DISPATCH_LEVEL. wdm.h: ExTryAcquireSpinLockExclusiveAtDpcLevel. */
LOGICAL ExTryAcquireSpinLockExclusiveAtDpcLevel(PEX_SPIN_LOCK SpinLock) {
    LONG Old = ReadLock(SpinLock);
    while ((Old & ~WRITER_WAITS) == 0) {
        if (ChangeLock(SpinLock, &Old, WRITER)) { /* other waiting writers set their bit again */
            return TRUE;
        }
    }
    return FALSE;
}

/* >= DISPATCH_LEVEL; spins. wdm.h: ExAcquireSpinLockSharedAtDpcLevel. */
VOID ExAcquireSpinLockSharedAtDpcLevel(PEX_SPIN_LOCK SpinLock) {
    if (ExTryAcquireSpinLockSharedAtDpcLevel(SpinLock)) {
        return;
    }
    do {
        Spin(SpinLock);
    } while (!ExTryAcquireSpinLockSharedAtDpcLevel(SpinLock));
    StopSpinning();
}

/* >= DISPATCH_LEVEL; spins. wdm.h: ExAcquireSpinLockExclusiveAtDpcLevel. */
VOID ExAcquireSpinLockExclusiveAtDpcLevel(PEX_SPIN_LOCK SpinLock) {
    if (ExTryAcquireSpinLockExclusiveAtDpcLevel(SpinLock)) {
        return;
    }
    do {
        if (!(ReadLock(SpinLock) & WRITER_WAITS)) {
            InterlockedOr(SpinLock, WRITER_WAITS);
        }
        Spin(SpinLock);
    } while (!ExTryAcquireSpinLockExclusiveAtDpcLevel(SpinLock));
    StopSpinning();
}

/* <= DISPATCH_LEVEL in, DISPATCH_LEVEL out; returns the old level. wdm.h: ExAcquireSpinLockShared. */
KIRQL ExAcquireSpinLockShared(PEX_SPIN_LOCK SpinLock) {
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    ExAcquireSpinLockSharedAtDpcLevel(SpinLock);
    return OldIrql;
}

KIRQL ExAcquireSpinLockExclusive(PEX_SPIN_LOCK SpinLock) {
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    ExAcquireSpinLockExclusiveAtDpcLevel(SpinLock);
    return OldIrql;
}

VOID ExReleaseSpinLockSharedFromDpcLevel(PEX_SPIN_LOCK SpinLock) {
    InterlockedDecrement(SpinLock);
}

/* A writer that set its bit while the lock was owned keeps the readers out. */
VOID ExReleaseSpinLockExclusiveFromDpcLevel(PEX_SPIN_LOCK SpinLock) {
    InterlockedAnd(SpinLock, ~WRITER);
}

VOID ExReleaseSpinLockShared(PEX_SPIN_LOCK SpinLock, KIRQL OldIrql) {
    ExReleaseSpinLockSharedFromDpcLevel(SpinLock);
    KeLowerIrql(OldIrql);
}

VOID ExReleaseSpinLockExclusive(PEX_SPIN_LOCK SpinLock, KIRQL OldIrql) {
    ExReleaseSpinLockExclusiveFromDpcLevel(SpinLock);
    KeLowerIrql(OldIrql);
}

/* The only reader becomes the writer, if no other writer waits. FALSE: it stays a reader. wdm.h:
 * ExTryConvertSharedSpinLockExclusive. */
LOGICAL ExTryConvertSharedSpinLockExclusive(PEX_SPIN_LOCK SpinLock) {
    LONG Old = 1;
    return ChangeLock(SpinLock, &Old, WRITER);
}

/* verifierspin.c: thunks of the spin locks: the legal levels, the trim, the order of locks.
 *
 * One pair of checks for all kinds: BeforeAcquire and AfterAcquire around the call, BeforeRelease ahead of it. */
#include "vf.h"

#pragma weak ExAcquireSpinLockShared
#pragma weak ExAcquireSpinLockExclusive
#pragma weak ExAcquireSpinLockSharedAtDpcLevel
#pragma weak ExAcquireSpinLockExclusiveAtDpcLevel
#pragma weak ExReleaseSpinLockShared
#pragma weak ExReleaseSpinLockExclusive
#pragma weak ExReleaseSpinLockSharedFromDpcLevel
#pragma weak ExReleaseSpinLockExclusiveFromDpcLevel
#pragma weak ExTryAcquireSpinLockSharedAtDpcLevel
#pragma weak ExTryAcquireSpinLockExclusiveAtDpcLevel
#pragma weak KeAcquireQueuedSpinLock
#pragma weak KeReleaseQueuedSpinLock
#pragma weak KeAcquireInterruptSpinLock
#pragma weak IoAcquireCancelSpinLock

#define QUEUE_BITS 3ULL /* LOCK_QUEUE_WAIT, LOCK_QUEUE_OWNER in KSPIN_LOCK_QUEUE.Lock */

static PVOID LockOfHandle(const KLOCK_QUEUE_HANDLE *Handle) {
    return (PVOID)((ULONG_PTR)Handle->LockQueue.Lock & ~QUEUE_BITS);
}

/* A call that raises: 0xC4 (0x42, IRQL, lock, 0) above DISPATCH_LEVEL. */
static VOID BeforeRaising(PVOID Lock, VF_LOCK_KIND Kind, VF_LOCK_MODE Mode) {
    KIRQL Irql = KiCurrentIrql();
    InterlockedIncrement(&VfStatistics.AcquireSpinLocks);
    if (Irql > DISPATCH_LEVEL) {
        VF_STOP(0x42, Irql, Lock, 0);
    }
    VfCheckResident(Lock);
    VfLockWanted(Lock, Kind, Mode);
    VfTrimBeforeRaise(DISPATCH_LEVEL);
}

/* A call that takes the level as it is: 0xC4 (0x40, IRQL, lock, 0) below DISPATCH_LEVEL. */
static VOID BeforeAtDpc(PVOID Lock, VF_LOCK_KIND Kind, VF_LOCK_MODE Mode, BOOLEAN MayWait) {
    KIRQL Irql = KiCurrentIrql();
    InterlockedIncrement(&VfStatistics.AcquireSpinLocks);
    if (Irql < DISPATCH_LEVEL) {
        VF_STOP(0x40, Irql, Lock, 0);
    }
    VfCheckResident(Lock);
    if (MayWait) {
        VfLockWanted(Lock, Kind, Mode);
    }
}

/* Rule is 0x32 for KeReleaseSpinLock and its like, 0x35 where the call brings its old level with it. */
static VOID BeforeRelease(ULONG Rule, PVOID Lock, VF_LOCK_KIND Kind, KIRQL NewIrql) {
    KIRQL Irql = KiCurrentIrql();
    if (Irql != DISPATCH_LEVEL) {
        VF_STOP(Rule, Irql, Lock, Rule == 0x35 ? NewIrql : 0);
    }
    if (NewIrql > DISPATCH_LEVEL) {
        VF_STOP(0x31, Irql, NewIrql, 0);
    }
    if (NewIrql < DISPATCH_LEVEL && KeGetCurrentPrcb()->DpcRoutineActive) {
        VF_STOP(0x31, Irql, NewIrql, 1);
    }
    VfLockReleased(Lock, Kind);
}

/* 0xC4 (0x41, IRQL, lock, 0) below DISPATCH_LEVEL. */
static VOID BeforeFromDpc(PVOID Lock, VF_LOCK_KIND Kind) {
    KIRQL Irql = KiCurrentIrql();
    if (Irql < DISPATCH_LEVEL) {
        VF_STOP(0x41, Irql, Lock, 0);
    }
    VfLockReleased(Lock, Kind);
}

/* ---- KSPIN_LOCK ---- */

static VOID VerifierInitializeSpinLock(PKSPIN_LOCK SpinLock) {
    VfCheckResident(SpinLock);
    VfLockInitialized(SpinLock, VfSpinLock);
    KeInitializeSpinLock(SpinLock);
}

static KIRQL VerifierAcquireSpinLockRaiseToDpc(PKSPIN_LOCK SpinLock) {
    BeforeRaising(SpinLock, VfSpinLock, VfExclusive);
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(SpinLock);
    VfLockAcquired(SpinLock, VfSpinLock, VfExclusive);
    return OldIrql;
}

static KIRQL VerifierAcquireSpinLockRaiseToSynch(PKSPIN_LOCK SpinLock) {
    BeforeRaising(SpinLock, VfSpinLock, VfExclusive);
    KIRQL OldIrql = KeAcquireSpinLockRaiseToSynch(SpinLock);
    VfLockAcquired(SpinLock, VfSpinLock, VfExclusive);
    return OldIrql;
}

static VOID VerifierAcquireSpinLockAtDpcLevel(PKSPIN_LOCK SpinLock) {
    BeforeAtDpc(SpinLock, VfSpinLock, VfExclusive, TRUE);
    KeAcquireSpinLockAtDpcLevel(SpinLock);
    VfLockAcquired(SpinLock, VfSpinLock, VfExclusive);
}

static BOOLEAN VerifierTryToAcquireSpinLockAtDpcLevel(PKSPIN_LOCK SpinLock) {
    BeforeAtDpc(SpinLock, VfSpinLock, VfExclusive, FALSE);
    BOOLEAN IsTaken = KeTryToAcquireSpinLockAtDpcLevel(SpinLock);
    if (IsTaken) {
        VfLockAcquired(SpinLock, VfSpinLock, VfExclusive);
    }
    return IsTaken;
}

/* At the level of KeAcquireSpinLockRaiseToSynch too, where the lock was taken by that call. */
static VOID VerifierReleaseSpinLock(PKSPIN_LOCK SpinLock, KIRQL NewIrql) {
    if (KiCurrentIrql() != SYNCH_LEVEL || !VfIsLockOwned(SpinLock)) {
        BeforeRelease(0x32, SpinLock, VfSpinLock, NewIrql);
    } else {
        VfLockReleased(SpinLock, VfSpinLock);
    }
    KeReleaseSpinLock(SpinLock, NewIrql);
}

static VOID VerifierReleaseSpinLockFromDpcLevel(PKSPIN_LOCK SpinLock) {
    BeforeFromDpc(SpinLock, VfSpinLock);
    KeReleaseSpinLockFromDpcLevel(SpinLock);
}

/* ---- In-stack queued ---- */

static VOID VerifierAcquireInStackQueuedSpinLock(PKSPIN_LOCK SpinLock, PKLOCK_QUEUE_HANDLE Handle) {
    BeforeRaising(SpinLock, VfSpinLock, VfExclusive);
    KeAcquireInStackQueuedSpinLock(SpinLock, Handle);
    VfLockAcquired(SpinLock, VfSpinLock, VfExclusive);
}

static VOID VerifierAcquireInStackQueuedSpinLockAtDpcLevel(PKSPIN_LOCK SpinLock, PKLOCK_QUEUE_HANDLE Handle) {
    BeforeAtDpc(SpinLock, VfSpinLock, VfExclusive, TRUE);
    KeAcquireInStackQueuedSpinLockAtDpcLevel(SpinLock, Handle);
    VfLockAcquired(SpinLock, VfSpinLock, VfExclusive);
}

static VOID VerifierReleaseInStackQueuedSpinLock(PKLOCK_QUEUE_HANDLE Handle) {
    BeforeRelease(0x35, LockOfHandle(Handle), VfSpinLock, Handle->OldIrql);
    KeReleaseInStackQueuedSpinLock(Handle);
}

static VOID VerifierReleaseInStackQueuedSpinLockFromDpcLevel(PKLOCK_QUEUE_HANDLE Handle) {
    BeforeFromDpc(LockOfHandle(Handle), VfSpinLock);
    KeReleaseInStackQueuedSpinLockFromDpcLevel(Handle);
}

/* ---- Queued by number: the locks are the system's own, so only the level is checked ---- */

static KIRQL VerifierAcquireQueuedSpinLock(KSPIN_LOCK_QUEUE_NUMBER Number) {
    KIRQL Irql = KiCurrentIrql();
    InterlockedIncrement(&VfStatistics.AcquireSpinLocks);
    if (Irql > DISPATCH_LEVEL) {
        VF_STOP(0x42, Irql, Number, 0);
    }
    VfTrimBeforeRaise(DISPATCH_LEVEL);
    return KeAcquireQueuedSpinLock(Number);
}

/* 0xC4 (0x36, IRQL, number, old IRQL) not at DISPATCH_LEVEL. */
static VOID VerifierReleaseQueuedSpinLock(KSPIN_LOCK_QUEUE_NUMBER Number, KIRQL OldIrql) {
    KIRQL Irql = KiCurrentIrql();
    if (Irql != DISPATCH_LEVEL) {
        VF_STOP(0x36, Irql, Number, OldIrql);
    }
    KeReleaseQueuedSpinLock(Number, OldIrql);
}

static KIRQL VerifierAcquireInterruptSpinLock(PKINTERRUPT Interrupt) {
    InterlockedIncrement(&VfStatistics.AcquireSpinLocks);
    VfTrimBeforeRaise(HIGH_LEVEL);
    return KeAcquireInterruptSpinLock(Interrupt);
}

static VOID VerifierAcquireCancelSpinLock(PKIRQL Irql) {
    InterlockedIncrement(&VfStatistics.AcquireSpinLocks);
    VfTrimBeforeRaise(DISPATCH_LEVEL);
    IoAcquireCancelSpinLock(Irql);
}

/* ---- EX_SPIN_LOCK ---- */

static KIRQL VerifierExAcquireSpinLockShared(PEX_SPIN_LOCK SpinLock) {
    BeforeRaising((PVOID)SpinLock, VfReaderWriterSpinLock, VfShared);
    KIRQL OldIrql = ExAcquireSpinLockShared(SpinLock);
    VfLockAcquired((PVOID)SpinLock, VfReaderWriterSpinLock, VfShared);
    return OldIrql;
}

static KIRQL VerifierExAcquireSpinLockExclusive(PEX_SPIN_LOCK SpinLock) {
    BeforeRaising((PVOID)SpinLock, VfReaderWriterSpinLock, VfExclusive);
    KIRQL OldIrql = ExAcquireSpinLockExclusive(SpinLock);
    VfLockAcquired((PVOID)SpinLock, VfReaderWriterSpinLock, VfExclusive);
    return OldIrql;
}

static VOID VerifierExAcquireSpinLockSharedAtDpcLevel(PEX_SPIN_LOCK SpinLock) {
    BeforeAtDpc((PVOID)SpinLock, VfReaderWriterSpinLock, VfShared, TRUE);
    ExAcquireSpinLockSharedAtDpcLevel(SpinLock);
    VfLockAcquired((PVOID)SpinLock, VfReaderWriterSpinLock, VfShared);
}

static VOID VerifierExAcquireSpinLockExclusiveAtDpcLevel(PEX_SPIN_LOCK SpinLock) {
    BeforeAtDpc((PVOID)SpinLock, VfReaderWriterSpinLock, VfExclusive, TRUE);
    ExAcquireSpinLockExclusiveAtDpcLevel(SpinLock);
    VfLockAcquired((PVOID)SpinLock, VfReaderWriterSpinLock, VfExclusive);
}

static LOGICAL VerifierExTryAcquireSpinLockSharedAtDpcLevel(PEX_SPIN_LOCK SpinLock) {
    BeforeAtDpc((PVOID)SpinLock, VfReaderWriterSpinLock, VfShared, FALSE);
    LOGICAL IsTaken = ExTryAcquireSpinLockSharedAtDpcLevel(SpinLock);
    if (IsTaken) {
        VfLockAcquired((PVOID)SpinLock, VfReaderWriterSpinLock, VfShared);
    }
    return IsTaken;
}

static LOGICAL VerifierExTryAcquireSpinLockExclusiveAtDpcLevel(PEX_SPIN_LOCK SpinLock) {
    BeforeAtDpc((PVOID)SpinLock, VfReaderWriterSpinLock, VfExclusive, FALSE);
    LOGICAL IsTaken = ExTryAcquireSpinLockExclusiveAtDpcLevel(SpinLock);
    if (IsTaken) {
        VfLockAcquired((PVOID)SpinLock, VfReaderWriterSpinLock, VfExclusive);
    }
    return IsTaken;
}

static VOID VerifierExReleaseSpinLockShared(PEX_SPIN_LOCK SpinLock, KIRQL OldIrql) {
    BeforeRelease(0x35, (PVOID)SpinLock, VfReaderWriterSpinLock, OldIrql);
    ExReleaseSpinLockShared(SpinLock, OldIrql);
}

static VOID VerifierExReleaseSpinLockExclusive(PEX_SPIN_LOCK SpinLock, KIRQL OldIrql) {
    BeforeRelease(0x35, (PVOID)SpinLock, VfReaderWriterSpinLock, OldIrql);
    ExReleaseSpinLockExclusive(SpinLock, OldIrql);
}

static VOID VerifierExReleaseSpinLockSharedFromDpcLevel(PEX_SPIN_LOCK SpinLock) {
    BeforeFromDpc((PVOID)SpinLock, VfReaderWriterSpinLock);
    ExReleaseSpinLockSharedFromDpcLevel(SpinLock);
}

static VOID VerifierExReleaseSpinLockExclusiveFromDpcLevel(PEX_SPIN_LOCK SpinLock) {
    BeforeFromDpc((PVOID)SpinLock, VfReaderWriterSpinLock);
    ExReleaseSpinLockExclusiveFromDpcLevel(SpinLock);
}

const VF_THUNK VfSpinLockThunks[] = {
    {"KeInitializeSpinLock", VerifierInitializeSpinLock},
    {"KeAcquireSpinLockRaiseToDpc", VerifierAcquireSpinLockRaiseToDpc},
    {"KeAcquireSpinLockRaiseToSynch", VerifierAcquireSpinLockRaiseToSynch},
    {"KeAcquireSpinLockAtDpcLevel", VerifierAcquireSpinLockAtDpcLevel},
    {"KeTryToAcquireSpinLockAtDpcLevel", VerifierTryToAcquireSpinLockAtDpcLevel},
    {"KeReleaseSpinLock", VerifierReleaseSpinLock},
    {"KeReleaseSpinLockFromDpcLevel", VerifierReleaseSpinLockFromDpcLevel},
    {"KeAcquireInStackQueuedSpinLock", VerifierAcquireInStackQueuedSpinLock},
    {"KeAcquireInStackQueuedSpinLockAtDpcLevel", VerifierAcquireInStackQueuedSpinLockAtDpcLevel},
    {"KeReleaseInStackQueuedSpinLock", VerifierReleaseInStackQueuedSpinLock},
    {"KeReleaseInStackQueuedSpinLockFromDpcLevel", VerifierReleaseInStackQueuedSpinLockFromDpcLevel},
    {"KeAcquireQueuedSpinLock", VerifierAcquireQueuedSpinLock},
    {"KeReleaseQueuedSpinLock", VerifierReleaseQueuedSpinLock},
    {"KeAcquireInterruptSpinLock", VerifierAcquireInterruptSpinLock},
    {"IoAcquireCancelSpinLock", VerifierAcquireCancelSpinLock},
    {"ExAcquireSpinLockShared", VerifierExAcquireSpinLockShared},
    {"ExAcquireSpinLockExclusive", VerifierExAcquireSpinLockExclusive},
    {"ExAcquireSpinLockSharedAtDpcLevel", VerifierExAcquireSpinLockSharedAtDpcLevel},
    {"ExAcquireSpinLockExclusiveAtDpcLevel", VerifierExAcquireSpinLockExclusiveAtDpcLevel},
    {"ExTryAcquireSpinLockSharedAtDpcLevel", VerifierExTryAcquireSpinLockSharedAtDpcLevel},
    {"ExTryAcquireSpinLockExclusiveAtDpcLevel", VerifierExTryAcquireSpinLockExclusiveAtDpcLevel},
    {"ExReleaseSpinLockShared", VerifierExReleaseSpinLockShared},
    {"ExReleaseSpinLockExclusive", VerifierExReleaseSpinLockExclusive},
    {"ExReleaseSpinLockSharedFromDpcLevel", VerifierExReleaseSpinLockSharedFromDpcLevel},
    {"ExReleaseSpinLockExclusiveFromDpcLevel", VerifierExReleaseSpinLockExclusiveFromDpcLevel},
    {NULL, NULL},
};

/* verifiermutex.c: thunks of the fast and guarded mutexes, and of their variants that leave the IRQL alone. */
#include "vf.h"

#pragma weak ExEnterCriticalRegionAndAcquireFastMutexUnsafe
#pragma weak ExReleaseFastMutexUnsafeAndLeaveCriticalRegion
#pragma weak KeInitializeGuardedMutex
#pragma weak KeAcquireGuardedMutex
#pragma weak KeTryToAcquireGuardedMutex
#pragma weak KeReleaseGuardedMutex
#pragma weak KeAcquireGuardedMutexUnsafe
#pragma weak KeReleaseGuardedMutexUnsafe

/* 0xC4 (0x33, IRQL, mutex, 0) above APC_LEVEL. */
static VOID BeforeAcquire(PFAST_MUTEX Mutex, VF_LOCK_KIND Kind, BOOLEAN MayWait) {
    KIRQL Irql = KiCurrentIrql();
    if (Irql > APC_LEVEL) {
        VF_STOP(0x33, Irql, Mutex, 0);
    }
    VfCheckResident(Mutex);
    if (MayWait) {
        VfLockWanted(Mutex, Kind, VfExclusive);
    }
}

/* 0xC4 (0x34, IRQL, APC-disable count, mutex) not at APC_LEVEL. */
static VOID BeforeRelease(PFAST_MUTEX Mutex, VF_LOCK_KIND Kind) {
    KIRQL Irql = KiCurrentIrql();
    if (Irql != APC_LEVEL) {
        VF_STOP(0x34, Irql, KiCurrentThread()->CombinedApcDisable, Mutex);
    }
    VfLockReleased(Mutex, Kind);
}

/* The variants that leave the IRQL alone need APCs disabled by the caller: 0xC4 (0x39 or 0x3A, IRQL, count, mutex). */
static VOID CheckUnsafe(ULONG Rule, PFAST_MUTEX Mutex) {
    if (VfHas(VF_IRQL) && (!VfAreApcsDisabled() || KiCurrentIrql() > APC_LEVEL)) {
        VF_STOP(Rule, KiCurrentIrql(), KiCurrentThread()->CombinedApcDisable, Mutex);
    }
}

static VOID VerifierInitializeFastMutex(PFAST_MUTEX Mutex) {
    VfCheckResident(Mutex);
    VfLockInitialized(Mutex, VfFastMutex);
    ExInitializeFastMutex(Mutex);
}

static VOID VerifierAcquireFastMutex(PFAST_MUTEX Mutex) {
    BeforeAcquire(Mutex, VfFastMutex, TRUE);
    ExAcquireFastMutex(Mutex);
    VfLockAcquired(Mutex, VfFastMutex, VfExclusive);
}

static BOOLEAN VerifierTryToAcquireFastMutex(PFAST_MUTEX Mutex) {
    BeforeAcquire(Mutex, VfFastMutex, FALSE);
    BOOLEAN IsTaken = ExTryToAcquireFastMutex(Mutex);
    if (IsTaken) {
        VfLockAcquired(Mutex, VfFastMutex, VfExclusive);
    }
    return IsTaken;
}

static VOID VerifierReleaseFastMutex(PFAST_MUTEX Mutex) {
    BeforeRelease(Mutex, VfFastMutex);
    ExReleaseFastMutex(Mutex);
}

static VOID VerifierAcquireFastMutexUnsafe(PFAST_MUTEX Mutex) {
    CheckUnsafe(0x39, Mutex);
    VfCheckResident(Mutex);
    VfLockWanted(Mutex, VfFastMutex, VfExclusive);
    ExAcquireFastMutexUnsafe(Mutex);
    VfLockAcquired(Mutex, VfFastMutex, VfExclusive);
}

static VOID VerifierReleaseFastMutexUnsafe(PFAST_MUTEX Mutex) {
    CheckUnsafe(0x3A, Mutex);
    VfLockReleased(Mutex, VfFastMutex);
    ExReleaseFastMutexUnsafe(Mutex);
}

static VOID VerifierEnterCriticalRegionAndAcquireFastMutexUnsafe(PFAST_MUTEX Mutex) {
    BeforeAcquire(Mutex, VfFastMutex, TRUE);
    ExEnterCriticalRegionAndAcquireFastMutexUnsafe(Mutex);
    VfLockAcquired(Mutex, VfFastMutex, VfExclusive);
}

static VOID VerifierReleaseFastMutexUnsafeAndLeaveCriticalRegion(PFAST_MUTEX Mutex) {
    CheckUnsafe(0x3A, Mutex);
    VfLockReleased(Mutex, VfFastMutex);
    ExReleaseFastMutexUnsafeAndLeaveCriticalRegion(Mutex);
}

static VOID VerifierInitializeGuardedMutex(PKGUARDED_MUTEX Mutex) {
    VfCheckResident(Mutex);
    VfLockInitialized(Mutex, VfGuardedMutex);
    KeInitializeGuardedMutex(Mutex);
}

static VOID VerifierAcquireGuardedMutex(PKGUARDED_MUTEX Mutex) {
    BeforeAcquire(Mutex, VfGuardedMutex, TRUE);
    KeAcquireGuardedMutex(Mutex);
    VfLockAcquired(Mutex, VfGuardedMutex, VfExclusive);
}

static BOOLEAN VerifierTryToAcquireGuardedMutex(PKGUARDED_MUTEX Mutex) {
    BeforeAcquire(Mutex, VfGuardedMutex, FALSE);
    BOOLEAN IsTaken = KeTryToAcquireGuardedMutex(Mutex);
    if (IsTaken) {
        VfLockAcquired(Mutex, VfGuardedMutex, VfExclusive);
    }
    return IsTaken;
}

static VOID VerifierReleaseGuardedMutex(PKGUARDED_MUTEX Mutex) {
    BeforeRelease(Mutex, VfGuardedMutex);
    KeReleaseGuardedMutex(Mutex);
}

static VOID VerifierAcquireGuardedMutexUnsafe(PKGUARDED_MUTEX Mutex) {
    CheckUnsafe(0x39, Mutex);
    VfCheckResident(Mutex);
    VfLockWanted(Mutex, VfGuardedMutex, VfExclusive);
    KeAcquireGuardedMutexUnsafe(Mutex);
    VfLockAcquired(Mutex, VfGuardedMutex, VfExclusive);
}

static VOID VerifierReleaseGuardedMutexUnsafe(PKGUARDED_MUTEX Mutex) {
    CheckUnsafe(0x3A, Mutex);
    VfLockReleased(Mutex, VfGuardedMutex);
    KeReleaseGuardedMutexUnsafe(Mutex);
}

const VF_THUNK VfMutexThunks[] = {
    {"ExInitializeFastMutex", VerifierInitializeFastMutex},
    {"ExAcquireFastMutex", VerifierAcquireFastMutex},
    {"ExTryToAcquireFastMutex", VerifierTryToAcquireFastMutex},
    {"ExReleaseFastMutex", VerifierReleaseFastMutex},
    {"ExAcquireFastMutexUnsafe", VerifierAcquireFastMutexUnsafe},
    {"ExReleaseFastMutexUnsafe", VerifierReleaseFastMutexUnsafe},
    {"ExEnterCriticalRegionAndAcquireFastMutexUnsafe", VerifierEnterCriticalRegionAndAcquireFastMutexUnsafe},
    {"ExReleaseFastMutexUnsafeAndLeaveCriticalRegion", VerifierReleaseFastMutexUnsafeAndLeaveCriticalRegion},
    {"KeInitializeGuardedMutex", VerifierInitializeGuardedMutex},
    {"KeAcquireGuardedMutex", VerifierAcquireGuardedMutex},
    {"KeTryToAcquireGuardedMutex", VerifierTryToAcquireGuardedMutex},
    {"KeReleaseGuardedMutex", VerifierReleaseGuardedMutex},
    {"KeAcquireGuardedMutexUnsafe", VerifierAcquireGuardedMutexUnsafe},
    {"KeReleaseGuardedMutexUnsafe", VerifierReleaseGuardedMutexUnsafe},
    {NULL, NULL},
};

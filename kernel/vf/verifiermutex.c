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

/* The thunks of one kind of mutex around its six calls, which differ only in their names. */
#define MUTEX_THUNKS(Kind, Initialize, Acquire, TryToAcquire, Release, AcquireUnsafe, ReleaseUnsafe) \
    static VOID Verifier##Initialize(PFAST_MUTEX Mutex) {                                            \
        VfCheckResident(Mutex);                                                                      \
        VfLockInitialized(Mutex, Kind);                                                              \
        Initialize(Mutex);                                                                           \
    }                                                                                                \
    static VOID Verifier##Acquire(PFAST_MUTEX Mutex) {                                               \
        BeforeAcquire(Mutex, Kind, TRUE);                                                            \
        Acquire(Mutex);                                                                              \
        VfLockAcquired(Mutex, Kind, VfExclusive);                                                    \
    }                                                                                                \
    static BOOLEAN Verifier##TryToAcquire(PFAST_MUTEX Mutex) {                                       \
        BeforeAcquire(Mutex, Kind, FALSE);                                                           \
        BOOLEAN IsTaken = TryToAcquire(Mutex);                                                       \
        if (IsTaken) {                                                                               \
            VfLockAcquired(Mutex, Kind, VfExclusive);                                                \
        }                                                                                            \
        return IsTaken;                                                                              \
    }                                                                                                \
    static VOID Verifier##Release(PFAST_MUTEX Mutex) {                                               \
        BeforeRelease(Mutex, Kind);                                                                  \
        Release(Mutex);                                                                              \
    }                                                                                                \
    static VOID Verifier##AcquireUnsafe(PFAST_MUTEX Mutex) {                                         \
        CheckUnsafe(0x39, Mutex);                                                                    \
        VfCheckResident(Mutex);                                                                      \
        VfLockWanted(Mutex, Kind, VfExclusive);                                                      \
        AcquireUnsafe(Mutex);                                                                        \
        VfLockAcquired(Mutex, Kind, VfExclusive);                                                    \
    }                                                                                                \
    static VOID Verifier##ReleaseUnsafe(PFAST_MUTEX Mutex) {                                         \
        CheckUnsafe(0x3A, Mutex);                                                                    \
        VfLockReleased(Mutex, Kind);                                                                 \
        ReleaseUnsafe(Mutex);                                                                        \
    }

MUTEX_THUNKS(VfFastMutex, ExInitializeFastMutex, ExAcquireFastMutex, ExTryToAcquireFastMutex, ExReleaseFastMutex,
             ExAcquireFastMutexUnsafe, ExReleaseFastMutexUnsafe)
MUTEX_THUNKS(VfGuardedMutex, KeInitializeGuardedMutex, KeAcquireGuardedMutex, KeTryToAcquireGuardedMutex,
             KeReleaseGuardedMutex, KeAcquireGuardedMutexUnsafe, KeReleaseGuardedMutexUnsafe)

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

#define THUNK(Call) {#Call, Verifier##Call}

const VF_THUNK VfMutexThunks[] = {
    THUNK(ExInitializeFastMutex),
    THUNK(ExAcquireFastMutex),
    THUNK(ExTryToAcquireFastMutex),
    THUNK(ExReleaseFastMutex),
    THUNK(ExAcquireFastMutexUnsafe),
    THUNK(ExReleaseFastMutexUnsafe),
    {"ExEnterCriticalRegionAndAcquireFastMutexUnsafe", VerifierEnterCriticalRegionAndAcquireFastMutexUnsafe},
    {"ExReleaseFastMutexUnsafeAndLeaveCriticalRegion", VerifierReleaseFastMutexUnsafeAndLeaveCriticalRegion},
    THUNK(KeInitializeGuardedMutex),
    THUNK(KeAcquireGuardedMutex),
    THUNK(KeTryToAcquireGuardedMutex),
    THUNK(KeReleaseGuardedMutex),
    THUNK(KeAcquireGuardedMutexUnsafe),
    THUNK(KeReleaseGuardedMutexUnsafe),
    {NULL, NULL},
};

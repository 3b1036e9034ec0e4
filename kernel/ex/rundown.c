/* rundown.c: rundown protection: many users of an object until one tears it down and waits for them.
 *
 *      Count   users << 1          in use
 *              block | 1           rundown has begun: this block is on the stack of the thread that waits for it
 *              1                   rundown is over: no new users
 *
 * Cheaper than a lock, because users do not exclude each other and never wait. The cache-aware form has one count for
 * each CPU, so that users on different CPUs do not share a cache line; a user may enter on one CPU and leave on
 * another, so only the sum of the counts means something. */
#include <ex.h>

#define ACTIVE 1
#define CACHE_LINE 64

typedef struct DECLSPEC_ALIGN(8) _RUNDOWN_WAITER {
    volatile LONG64 Users;
    KEVENT LastUserLeft;
} RUNDOWN_WAITER;

/* ---- One count ---- */

VOID ExInitializeRundownProtection(PEX_RUNDOWN_REF RunRef) {
    RunRef->Count = 0;
}

/* After a rundown that is over: the object can be used again. wdm.h: ExReInitializeRundownProtection. */
VOID ExReInitializeRundownProtection(PEX_RUNDOWN_REF RunRef) {
    __atomic_exchange_n(&RunRef->Count, 0, __ATOMIC_SEQ_CST);
}

/* FALSE: too late. <= DISPATCH_LEVEL, or any IRQL for resident memory. wdm.h: ExAcquireRundownProtectionEx. */
BOOLEAN ExAcquireRundownProtectionEx(PEX_RUNDOWN_REF RunRef, ULONG Count) {
    ULONG_PTR Old = __atomic_load_n(&RunRef->Count, __ATOMIC_RELAXED);
    while (!(Old & ACTIVE)) {
        if (__atomic_compare_exchange_n(&RunRef->Count, &Old, Old + 2 * (ULONG_PTR)Count, FALSE, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
            return TRUE;
        }
    }
    return FALSE;
}

BOOLEAN ExAcquireRundownProtection(PEX_RUNDOWN_REF RunRef) {
    return ExAcquireRundownProtectionEx(RunRef, 1);
}

/* The waiter is gone once it has seen 0 users and the event is set. */
static VOID LeaveWaiter(RUNDOWN_WAITER *Waiter, ULONG Count) {
    if (__atomic_sub_fetch(&Waiter->Users, Count, __ATOMIC_SEQ_CST) == 0) {
        KeSetEvent(&Waiter->LastUserLeft, IO_NO_INCREMENT, FALSE);
    }
}

/* <= DISPATCH_LEVEL. One release too many makes the count wrap round: nothing checks. wdm.h:
 * ExReleaseRundownProtectionEx. */
VOID ExReleaseRundownProtectionEx(PEX_RUNDOWN_REF RunRef, ULONG Count) {
    ULONG_PTR Old = __atomic_load_n(&RunRef->Count, __ATOMIC_ACQUIRE);
    while (!(Old & ACTIVE)) {
        if (__atomic_compare_exchange_n(&RunRef->Count, &Old, Old - 2 * (ULONG_PTR)Count, FALSE, __ATOMIC_RELEASE,
                                        __ATOMIC_ACQUIRE)) {
            return;
        }
    }
    LeaveWaiter((RUNDOWN_WAITER *)(Old & ~(ULONG_PTR)ACTIVE), Count);
}

VOID ExReleaseRundownProtection(PEX_RUNDOWN_REF RunRef) {
    ExReleaseRundownProtectionEx(RunRef, 1);
}

/* No new users from now on; returns when all are out. Again and again, if need be: once over, it returns at once.
 * <= APC_LEVEL, waits. wdm.h: ExWaitForRundownProtectionRelease. */
VOID ExWaitForRundownProtectionRelease(PEX_RUNDOWN_REF RunRef) {
    RUNDOWN_WAITER Waiter;
    ULONG_PTR Old = __atomic_load_n(&RunRef->Count, __ATOMIC_ACQUIRE), New;
    KeInitializeEvent(&Waiter.LastUserLeft, SynchronizationEvent, FALSE);
    do {
        if (Old & ACTIVE) {
            return;
        }
        Waiter.Users = (LONG64)(Old >> 1);
        New = Old == 0 ? ACTIVE : (ULONG_PTR)&Waiter | ACTIVE;
    } while (!__atomic_compare_exchange_n(&RunRef->Count, &Old, New, FALSE, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE));
    if (Old != 0) {
        KeWaitForLock(RunRef, LockRundown, &Waiter.LastUserLeft, WrRundown, NULL);
    }
}

/* The waiter has finished its work: drops the pointer to its stack. wdm.h: ExRundownCompleted. */
VOID ExRundownCompleted(PEX_RUNDOWN_REF RunRef) {
    __atomic_exchange_n(&RunRef->Count, ACTIVE, __ATOMIC_SEQ_CST);
}

/* ---- One count for each CPU ---- */

typedef struct _EX_RUNDOWN_REF_CACHE_AWARE {
    PUCHAR RunRefs; /* the first count, at the start of a cache line */
    PVOID PoolToFree;
    ULONG Number;
} EX_RUNDOWN_REF_CACHE_AWARE;

static PEX_RUNDOWN_REF RunRefOf(PEX_RUNDOWN_REF_CACHE_AWARE Ref, ULONG Processor) {
    return (PEX_RUNDOWN_REF)(Ref->RunRefs + (SIZE_T)(Processor % Ref->Number) * CACHE_LINE);
}

static PEX_RUNDOWN_REF CurrentRunRef(PEX_RUNDOWN_REF_CACHE_AWARE Ref) {
    return RunRefOf(Ref, KeGetCurrentProcessorNumber()); /* any CPU's would do, so it may change meanwhile */
}

/* Bytes for ExInitializeRundownProtectionCacheAware. */
SIZE_T ExSizeOfRundownProtectionCacheAware(VOID) {
    return sizeof(EX_RUNDOWN_REF_CACHE_AWARE) + ((SIZE_T)KeNumberProcessors + 1) * CACHE_LINE;
}

/* In the caller's memory of RunRefSize bytes, aligned to 8. <= APC_LEVEL. */
VOID ExInitializeRundownProtectionCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware, SIZE_T RunRefSize) {
    ULONG_PTR First = (ULONG_PTR)(RunRefCacheAware + 1);
    First = (First + CACHE_LINE - 1) & ~(ULONG_PTR)(CACHE_LINE - 1);
    ULONG_PTR End = (ULONG_PTR)RunRefCacheAware + RunRefSize;
    RunRefCacheAware->RunRefs = (PUCHAR)First;
    RunRefCacheAware->PoolToFree = NULL;
    RunRefCacheAware->Number = (ULONG)((End - First) / CACHE_LINE);
    ExReInitializeRundownProtectionCacheAware(RunRefCacheAware);
}

/* NULL: no memory. Free it with ExFreeCacheAwareRundownProtection. wdm.h: ExAllocateCacheAwareRundownProtection. */
PEX_RUNDOWN_REF_CACHE_AWARE ExAllocateCacheAwareRundownProtection(POOL_TYPE PoolType, ULONG PoolTag) {
    SIZE_T Bytes = ExSizeOfRundownProtectionCacheAware();
    PEX_RUNDOWN_REF_CACHE_AWARE Ref = ExAllocatePoolWithTag(PoolType, Bytes, PoolTag);
    if (Ref != NULL) {
        ExInitializeRundownProtectionCacheAware(Ref, Bytes);
        Ref->PoolToFree = Ref;
    }
    return Ref;
}

VOID ExFreeCacheAwareRundownProtection(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware) {
    ExFreePool(RunRefCacheAware->PoolToFree);
}

VOID ExReInitializeRundownProtectionCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware) {
    for (ULONG i = 0; i < RunRefCacheAware->Number; i++) {
        ExReInitializeRundownProtection(RunRefOf(RunRefCacheAware, i));
    }
}

BOOLEAN ExAcquireRundownProtectionCacheAwareEx(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware, ULONG Count) {
    return ExAcquireRundownProtectionEx(CurrentRunRef(RunRefCacheAware), Count);
}

BOOLEAN ExAcquireRundownProtectionCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware) {
    return ExAcquireRundownProtectionCacheAwareEx(RunRefCacheAware, 1);
}

VOID ExReleaseRundownProtectionCacheAwareEx(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware, ULONG Count) {
    ExReleaseRundownProtectionEx(CurrentRunRef(RunRefCacheAware), Count);
}

VOID ExReleaseRundownProtectionCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware) {
    ExReleaseRundownProtectionCacheAwareEx(RunRefCacheAware, 1);
}

/* Closes one count for good and returns what it counted; users that leave from now on are counted down in Waiter. */
static LONG64 CloseRunRef(PEX_RUNDOWN_REF RunRef, RUNDOWN_WAITER *Waiter) {
    ULONG_PTR Old = __atomic_exchange_n(&RunRef->Count, (ULONG_PTR)Waiter | ACTIVE, __ATOMIC_SEQ_CST);
    return (LONG64)Old >> 1;
}

/* As ExWaitForRundownProtectionRelease, once. A count alone may be negative; Users is only right when all are added. */
VOID ExWaitForRundownProtectionReleaseCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware) {
    RUNDOWN_WAITER Waiter = {0};
    LONG64 Users = 0;
    KeInitializeEvent(&Waiter.LastUserLeft, SynchronizationEvent, FALSE);
    if (RunRefOf(RunRefCacheAware, 0)->Count & ACTIVE) {
        return;
    }
    /* Far below 0, so that no user that leaves while the counts are being added takes itself for the last. */
    Waiter.Users = MINLONG;
    for (ULONG i = 0; i < RunRefCacheAware->Number; i++) {
        Users += CloseRunRef(RunRefOf(RunRefCacheAware, i), &Waiter);
    }
    if (__atomic_add_fetch(&Waiter.Users, Users - MINLONG, __ATOMIC_SEQ_CST) != 0) {
        KeWaitForLock(RunRefCacheAware, LockRundown, &Waiter.LastUserLeft, WrRundown, NULL);
    }
}

VOID ExRundownCompletedCacheAware(PEX_RUNDOWN_REF_CACHE_AWARE RunRefCacheAware) {
    for (ULONG i = 0; i < RunRefCacheAware->Number; i++) {
        ExRundownCompleted(RunRefOf(RunRefCacheAware, i));
    }
}

/* fastmutex.c: the fast mutex: one atomic instruction to acquire, one to release, and an event for who comes too late.
 *
 * ExAcquireFastMutex and ExReleaseFastMutex themselves stand in arch/x86_64/fastmutex.asm; here is what they leave
 * over.
 *
 *      Count   bit 0      1: free
 *              bit 1      1: a waiter has been woken and has not looked yet
 *              bits 2...  number of waiters
 *
 *      1  free    0  owned    4  owned, one waiter    8  owned, two waiters    7  free, one waiter, which is on its way
 *
 * Whoever clears bit 0 owns the mutex. A release does not hand it to a waiter: it sets bit 0 and wakes one, and a
 * running thread may be faster; then the waiter goes back to sleep. That is not fair, but no CPU idles while the mutex
 * is free. Bit 1 keeps several releases from waking several waiters for one mutex.
 *
 * The owner runs at APC_LEVEL: it may wait and touch pageable memory, but no APC can run on its thread and want the
 * mutex again. At DISPATCH_LEVEL nobody may wait, so acquiring there stops the machine.
 *
 * Each owner has the mutex in a lock entry of its thread (ke/autoboost.c): releasing without one, or ending with one, stops
 * the machine too. */
#include <ex.h>

/* fastmutex.asm jumps to these, so that they return to its caller. */
VOID ExpAcquireFastMutexContended(PFAST_MUTEX FastMutex, ULONG OldIrql);
VOID ExpReleaseFastMutexContended(PFAST_MUTEX FastMutex, LONG OldCount, ULONG OldIrql);
VOID ExpReleaseFastMutexEntry(PFAST_MUTEX FastMutex);
DECLSPEC_NORETURN VOID ExpFastMutexAlreadyOwned(PFAST_MUTEX FastMutex);

#define FREE 1
#define WOKEN 2
#define WAITER 4

/* <= DISPATCH_LEVEL; the mutex lies in resident memory. */
VOID ExInitializeFastMutex(PFAST_MUTEX FastMutex) {
    FastMutex->Count = FREE;
    FastMutex->Owner = NULL;
    FastMutex->Contention = 0;
    KeInitializeEvent(&FastMutex->Event, SynchronizationEvent, FALSE);
    FastMutex->OldIrql = 0;
}

/* One step of a thread that wants the mutex: takes it if it is free, else becomes a waiter, or stays one. TRUE: taken.
 * A waiter that was woken gives back the WOKEN bit either way. */
static BOOLEAN TakeOrWait(PFAST_MUTEX FastMutex, BOOLEAN IsWaiter) {
    LONG Old = __atomic_load_n(&FastMutex->Count, __ATOMIC_RELAXED), New;
    do {
        New = IsWaiter ? Old & ~WOKEN : Old;
        if (Old & FREE) {
            New = (New & ~FREE) - (IsWaiter ? WAITER : 0);
        } else {
            New += IsWaiter ? 0 : WAITER;
        }
    } while (!__atomic_compare_exchange_n(&FastMutex->Count, &Old, New, FALSE, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
    return (Old & FREE) != 0;
}

static VOID WaitUntilTaken(PFAST_MUTEX FastMutex, KLOCK_KIND Kind) {
    InterlockedIncrement(&FastMutex->Contention);
    for (BOOLEAN IsWaiter = FALSE; !TakeOrWait(FastMutex, IsWaiter); IsWaiter = TRUE) {
        KeWaitForLock(FastMutex, Kind, &FastMutex->Event, WrFastMutex, NULL);
    }
}

/* The mutex was not free. APC_LEVEL. */
VOID ExpWaitForFastMutex(PFAST_MUTEX FastMutex, KLOCK_KIND Kind, ULONG OldIrql) {
    WaitUntilTaken(FastMutex, Kind);
    FastMutex->Owner = KiCurrentThread();
    FastMutex->OldIrql = OldIrql;
    KeAbAcquired(FastMutex);
}

VOID ExpAcquireFastMutexContended(PFAST_MUTEX FastMutex, ULONG OldIrql) {
    ExpWaitForFastMutex(FastMutex, LockFastMutex, OldIrql);
}

/* The mutex is free again and has waiters: wakes one, unless one is on its way, or another thread has taken the mutex
 * in between, whose release will see to it. */
static VOID WakeOne(PFAST_MUTEX FastMutex, LONG Count) {
    if (!(Count & WOKEN) && __atomic_compare_exchange_n(&FastMutex->Count, &Count, Count | WOKEN, FALSE,
                                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        KeSetEvent(&FastMutex->Event, IO_NO_INCREMENT, FALSE);
    }
}

VOID ExpReleaseFastMutexContended(PFAST_MUTEX FastMutex, LONG OldCount, ULONG OldIrql) {
    WakeOne(FastMutex, OldCount + FREE);
    KeLowerIrql((KIRQL)OldIrql);
}

/* The mutex is not in the thread's first lock entry; then as ExReleaseFastMutex. */
VOID ExpReleaseFastMutexEntry(PFAST_MUTEX FastMutex) {
    KIRQL OldIrql = (KIRQL)FastMutex->OldIrql; /* before the next owner writes its own */
    ExReleaseFastMutexUnsafe(FastMutex);
    KeLowerIrql(OldIrql);
}

/* The checked build only: the owner would wait for itself. */
DECLSPEC_NORETURN VOID ExpFastMutexAlreadyOwned(PFAST_MUTEX FastMutex) {
    KeBugCheckEx(MUTEX_ALREADY_OWNED, (ULONG_PTR)FastMutex, (ULONG_PTR)KiCurrentThread(), 0, 0);
}

static BOOLEAN TryToTake(PFAST_MUTEX FastMutex) {
    return (__atomic_fetch_and(&FastMutex->Count, ~FREE, __ATOMIC_ACQUIRE) & FREE) != 0;
}

/* As ExAcquireFastMutex, but FALSE, at the old level, instead of waiting. wdm.h: ExTryToAcquireFastMutex. */
BOOLEAN ExTryToAcquireFastMutex(PFAST_MUTEX FastMutex) {
    KIRQL OldIrql = KiCurrentIrql();
    if (OldIrql >= DISPATCH_LEVEL) {
        KeAbRefuseIrql(FastMutex, OldIrql);
    }
    __writecr8(APC_LEVEL);
    if (!TryToTake(FastMutex)) {
        KeLowerIrql(OldIrql);
        return FALSE;
    }
    FastMutex->Owner = KiCurrentThread();
    FastMutex->OldIrql = OldIrql;
    KeAbAcquired(FastMutex);
    return TRUE;
}

VOID ExpAcquireMutexUnsafe(PFAST_MUTEX FastMutex, KLOCK_KIND Kind) {
    if (KiCurrentIrql() >= DISPATCH_LEVEL) {
        KeAbRefuseIrql(FastMutex, KiCurrentIrql());
    }
    if (!TryToTake(FastMutex)) {
        WaitUntilTaken(FastMutex, Kind);
    }
    FastMutex->Owner = KiCurrentThread();
    KeAbAcquired(FastMutex);
}

/* For callers that are at APC_LEVEL or in a critical region: the IRQL is left alone. wdm.h: ExAcquireFastMutexUnsafe. */
VOID ExAcquireFastMutexUnsafe(PFAST_MUTEX FastMutex) {
    ExpAcquireMutexUnsafe(FastMutex, LockFastMutex);
}

VOID ExReleaseFastMutexUnsafe(PFAST_MUTEX FastMutex) {
    KeAbReleased(FastMutex);
    FastMutex->Owner = NULL;
    LONG Count = __atomic_add_fetch(&FastMutex->Count, FREE, __ATOMIC_RELEASE);
    if (Count != FREE) {
        WakeOne(FastMutex, Count);
    }
}

/* <= APC_LEVEL. ntifs.h: ExEnterCriticalRegionAndAcquireFastMutexUnsafe. */
VOID ExEnterCriticalRegionAndAcquireFastMutexUnsafe(PFAST_MUTEX FastMutex) {
    KeEnterCriticalRegion();
    ExAcquireFastMutexUnsafe(FastMutex);
}

VOID ExReleaseFastMutexUnsafeAndLeaveCriticalRegion(PFAST_MUTEX FastMutex) {
    ExReleaseFastMutexUnsafe(FastMutex);
    KeLeaveCriticalRegion();
}

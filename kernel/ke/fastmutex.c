/* fastmutex.c: the fast mutex: one atomic instruction to acquire, one to release, an event to wait.
 *
 *      Count   bit 0      1: free
 *              bit 1      1: a waiter has been woken and has not looked yet
 *              bits 2...  number of waiters
 *
 *      1  free    0  owned    4  owned, one waiter    8  owned, two waiters    7  free, one waiter, which is on its way
 *
 * The thread that clears bit 0 owns the mutex. A release does not hand it to a waiter: it sets bit 0 and wakes one, and
 * a running thread may be faster; then the waiter goes back to sleep. That is not fair, but no CPU idles while the
 * mutex is free. Bit 1 keeps several releases from waking several waiters at once (tests/models/fastmutex.pml).
 *
 * Compare it with the spin lock (spinlock.asm): this one raises to APC_LEVEL only, so its owner may be switched out and
 * may touch pageable memory, while no APC can run on its thread and want the mutex again. At DISPATCH_LEVEL no thread
 * may wait, so acquiring there stops the machine.
 *
 * The owner has the mutex in a lock entry of its thread (autoboost.c), mostly in the first: releasing without one, or
 * ending with one, stops the machine too.
 *
 * Since Windows 8 a guarded mutex is the same lock under another name; a waiter says which of the two it waits for. */
#include <ex.h>
#include <trace.h>

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

/* ---- Acquire ---- */

/* TRUE: bit 0 was 1, and this has cleared it. */
static FORCEINLINE BOOLEAN TryToTake(PFAST_MUTEX FastMutex) {
    return (__atomic_fetch_and(&FastMutex->Count, ~FREE, __ATOMIC_ACQUIRE) & FREE) != 0;
}

static FORCEINLINE VOID BecomeOwner(PFAST_MUTEX FastMutex, ULONG OldIrql) {
    PKTHREAD Thread = KiCurrentThread();
    FastMutex->Owner = Thread;
    FastMutex->OldIrql = OldIrql;
    if (Thread->LockEntries[0].Lock == NULL) {
        Thread->LockEntries[0].Lock = FastMutex;
    } else {
        KeAbAcquired(FastMutex); /* another entry */
    }
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

/* The mutex was not free. */
static DECLSPEC_NOINLINE VOID AcquireContended(PFAST_MUTEX FastMutex, KLOCK_KIND Kind, ULONG OldIrql) {
    InterlockedIncrement(&FastMutex->Contention);
    for (BOOLEAN IsWaiter = FALSE; !TakeOrWait(FastMutex, IsWaiter); IsWaiter = TRUE) {
        KeWaitForLock(FastMutex, Kind, &FastMutex->Event, WrFastMutex, NULL);
    }
    BecomeOwner(FastMutex, OldIrql);
}

static FORCEINLINE VOID AcquireUnsafe(PFAST_MUTEX FastMutex, KLOCK_KIND Kind, ULONG OldIrql) {
    if (TryToTake(FastMutex)) {
        BecomeOwner(FastMutex, OldIrql);
    } else {
        AcquireContended(FastMutex, Kind, OldIrql);
    }
}

static FORCEINLINE ULONG RaiseToApc(PFAST_MUTEX FastMutex) {
    ULONG OldIrql = (ULONG)__readcr8();
    if (OldIrql > APC_LEVEL) {
        KeAbRefuseIrql(FastMutex, KiCurrentIrql());
    }
    KiSetIrql(APC_LEVEL);
    KD_TRACE_IRQL(OldIrql, APC_LEVEL);
    return OldIrql;
}

static FORCEINLINE VOID Acquire(PFAST_MUTEX FastMutex, KLOCK_KIND Kind) {
    ULONG OldIrql = RaiseToApc(FastMutex);
    if (DBG && ReadPointerNoFence(&FastMutex->Owner) == KiCurrentThread()) { /* only the owner finds itself there */
        KeBugCheckEx(MUTEX_ALREADY_OWNED, (ULONG_PTR)FastMutex, (ULONG_PTR)KiCurrentThread(), 0, 0);
    }
    AcquireUnsafe(FastMutex, Kind, OldIrql);
}

/* <= APC_LEVEL in, APC_LEVEL out; may wait. 0x192 at DISPATCH_LEVEL or above. Not recursive: the checked build stops
 * with 0xBF, the free build waits for itself forever, as Windows does. wdm.h: ExAcquireFastMutex. */
VOID ExAcquireFastMutex(PFAST_MUTEX FastMutex) {
    Acquire(FastMutex, LockFastMutex);
}

/* As ExAcquireFastMutex, but FALSE, at the old level, instead of waiting. wdm.h: ExTryToAcquireFastMutex. */
BOOLEAN ExTryToAcquireFastMutex(PFAST_MUTEX FastMutex) {
    ULONG OldIrql = RaiseToApc(FastMutex);
    BOOLEAN IsTaken = TryToTake(FastMutex);
    if (IsTaken) {
        BecomeOwner(FastMutex, OldIrql);
    } else {
        KeLowerIrql((KIRQL)OldIrql);
    }
    return IsTaken;
}

/* ---- Release ---- */

/* The mutex is free again, and Count was not 0: wakes a waiter, unless one is on its way, or another thread has taken
 * the mutex in between, whose release will see to it. */
static VOID WakeOne(PFAST_MUTEX FastMutex, LONG Count) {
    Count += FREE;
    if (!(Count & WOKEN) && __atomic_compare_exchange_n(&FastMutex->Count, &Count, Count | WOKEN, FALSE,
                                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        KeSetEvent(&FastMutex->Event, IO_NO_INCREMENT, FALSE);
    }
}

/* The rest of a release: the thread no longer has the mutex in a lock entry. Returns what Count was:
 * 0 if no thread waits. */
static FORCEINLINE LONG GiveBack(PFAST_MUTEX FastMutex) {
    FastMutex->Owner = NULL;
    return __atomic_fetch_add(&FastMutex->Count, FREE, __ATOMIC_RELEASE);
}

VOID ExReleaseFastMutexUnsafe(PFAST_MUTEX FastMutex) {
    KeAbReleased(FastMutex);
    LONG Count = GiveBack(FastMutex);
    if (Count != 0) {
        WakeOne(FastMutex, Count);
    }
}

static DECLSPEC_NOINLINE VOID WakeOneAndLower(PFAST_MUTEX FastMutex, LONG Count, ULONG OldIrql) {
    WakeOne(FastMutex, Count);
    KeLowerIrql((KIRQL)OldIrql);
}

static DECLSPEC_NOINLINE VOID ReleaseOtherEntry(PFAST_MUTEX FastMutex, ULONG OldIrql) {
    ExReleaseFastMutexUnsafe(FastMutex);
    KeLowerIrql((KIRQL)OldIrql);
}

/* APC_LEVEL in, by the owner; the level before the acquire out. 0x162 if the thread has not acquired it. wdm.h:
 * ExReleaseFastMutex. */
VOID ExReleaseFastMutex(PFAST_MUTEX FastMutex) {
    PKTHREAD Thread = KiCurrentThread();
    ULONG OldIrql = FastMutex->OldIrql; /* before the next owner writes its own */
    if (Thread->LockEntries[0].Lock != FastMutex) {
        ReleaseOtherEntry(FastMutex, OldIrql);
        return;
    }
    Thread->LockEntries[0].Lock = NULL;
    LONG Count = GiveBack(FastMutex);
    if (Count != 0) {
        WakeOneAndLower(FastMutex, Count, OldIrql);
        return;
    }
    KD_TRACE_IRQL(APC_LEVEL, OldIrql);
    KiSetIrql(OldIrql);
}

/* ---- For callers at APC_LEVEL or in a critical region: the IRQL is left alone ---- */

static FORCEINLINE VOID AcquireHere(PFAST_MUTEX FastMutex, KLOCK_KIND Kind) {
    ULONG Irql = KiCurrentIrql();
    if (Irql > APC_LEVEL) {
        KeAbRefuseIrql(FastMutex, Irql);
    }
    AcquireUnsafe(FastMutex, Kind, Irql);
}

/* wdm.h: ExAcquireFastMutexUnsafe. */
VOID ExAcquireFastMutexUnsafe(PFAST_MUTEX FastMutex) {
    AcquireHere(FastMutex, LockFastMutex);
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

/* ---- The guarded mutex; wdm.h has each of these names ---- */

VOID KeInitializeGuardedMutex(PKGUARDED_MUTEX Mutex) {
    ExInitializeFastMutex(Mutex);
}

VOID KeAcquireGuardedMutex(PKGUARDED_MUTEX Mutex) {
    Acquire(Mutex, LockGuardedMutex);
}

BOOLEAN KeTryToAcquireGuardedMutex(PKGUARDED_MUTEX Mutex) {
    return ExTryToAcquireFastMutex(Mutex);
}

VOID KeReleaseGuardedMutex(PKGUARDED_MUTEX Mutex) __attribute__((alias("ExReleaseFastMutex")));

VOID KeAcquireGuardedMutexUnsafe(PKGUARDED_MUTEX Mutex) {
    AcquireHere(Mutex, LockGuardedMutex);
}

VOID KeReleaseGuardedMutexUnsafe(PKGUARDED_MUTEX Mutex) {
    ExReleaseFastMutexUnsafe(Mutex);
}

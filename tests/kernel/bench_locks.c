/* bench_locks.c: the cost of an uncontended lock; and, as ratios, the throughput and the fairness of one that all CPUs
 * want. */
#include "ktest.h"

KBENCH(BenchSpinLock, "KeAcquireSpinLock + KeReleaseSpinLock, uncontended", "instructions", 20) {
    static KSPIN_LOCK Lock;
    KIRQL OldIrql;
    return KT_MEASURE(KeAcquireSpinLock(&Lock, &OldIrql); KeReleaseSpinLock(&Lock, OldIrql));
}

KBENCH(BenchQueuedLock, "in-stack queued lock, uncontended pair", "instructions", 36) {
    static KSPIN_LOCK Lock;
    KLOCK_QUEUE_HANDLE Handle;
    return KT_MEASURE(KeAcquireInStackQueuedSpinLock(&Lock, &Handle); KeReleaseInStackQueuedSpinLock(&Handle));
}

KBENCH(BenchFastMutex, "FAST_MUTEX, uncontended pair", "instructions", 36) {
    static FAST_MUTEX Mutex;
    ExInitializeFastMutex(&Mutex);
    return KT_MEASURE(ExAcquireFastMutex(&Mutex); ExReleaseFastMutex(&Mutex));
}

KBENCH(BenchGuardedMutex, "KGUARDED_MUTEX, uncontended pair", "instructions", 36) {
    static KGUARDED_MUTEX Mutex;
    KeInitializeGuardedMutex(&Mutex);
    return KT_MEASURE(KeAcquireGuardedMutex(&Mutex); KeReleaseGuardedMutex(&Mutex));
}

KBENCH(BenchPushExclusive, "EX_PUSH_LOCK exclusive, uncontended pair", "instructions", 0) {
    static EX_PUSH_LOCK Lock;
    return KT_MEASURE(ExAcquirePushLockExclusive(&Lock); ExReleasePushLockExclusive(&Lock));
}

KBENCH(BenchPushShared, "EX_PUSH_LOCK shared, uncontended pair", "instructions", 0) {
    static EX_PUSH_LOCK Lock;
    return KT_MEASURE(ExAcquirePushLockShared(&Lock); ExReleasePushLockShared(&Lock));
}

static ULONG64 MeasureResource(BOOLEAN (*Acquire)(PERESOURCE Resource, BOOLEAN Wait)) {
    static ERESOURCE Resource;
    ExInitializeResourceLite(&Resource);
    KeEnterCriticalRegion();
    ULONG64 Cost = KT_MEASURE(Acquire(&Resource, TRUE); ExReleaseResourceLite(&Resource));
    KeLeaveCriticalRegion();
    ExDeleteResourceLite(&Resource);
    return Cost;
}

KBENCH(BenchResourceExclusive, "ERESOURCE exclusive, uncontended pair", "instructions", 0) {
    return MeasureResource(ExAcquireResourceExclusiveLite);
}

KBENCH(BenchResourceShared, "ERESOURCE shared, uncontended pair", "instructions", 0) {
    return MeasureResource(ExAcquireResourceSharedLite);
}

KBENCH(BenchMutex, "KMUTEX, uncontended pair", "instructions", 0) {
    static KMUTEX Mutex;
    KeInitializeMutex(&Mutex, 0);
    return KT_MEASURE(KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, NULL); KeReleaseMutex(&Mutex, FALSE));
}

KBENCH(BenchSemaphore, "KSEMAPHORE, uncontended pair", "instructions", 0) {
    static KSEMAPHORE Semaphore;
    KeInitializeSemaphore(&Semaphore, 1, 1);
    return KT_MEASURE(KeWaitForSingleObject(&Semaphore, Executive, KernelMode, FALSE, NULL);
                      KeReleaseSemaphore(&Semaphore, IO_NO_INCREMENT, 1, FALSE));
}

KBENCH(BenchRwExclusive, "EX_SPIN_LOCK exclusive, uncontended pair", "instructions", 0) {
    static EX_SPIN_LOCK Lock;
    return KT_MEASURE(KIRQL OldIrql = ExAcquireSpinLockExclusive(&Lock); ExReleaseSpinLockExclusive(&Lock, OldIrql));
}

KBENCH(BenchRwShared, "EX_SPIN_LOCK shared, uncontended pair", "instructions", 0) {
    static EX_SPIN_LOCK Lock;
    return KT_MEASURE(KIRQL OldIrql = ExAcquireSpinLockShared(&Lock); ExReleaseSpinLockShared(&Lock, OldIrql));
}

KBENCH(BenchNumberedLock, "numbered queued lock, uncontended pair", "instructions", 0) {
    return KT_MEASURE(KIRQL OldIrql = KeAcquireQueuedSpinLock(LockQueueBcbLock);
                      KeReleaseQueuedSpinLock(LockQueueBcbLock, OldIrql));
}

KBENCH(BenchRundown, "EX_RUNDOWN_REF, uncontended pair", "instructions", 0) {
    static EX_RUNDOWN_REF Rundown;
    return KT_MEASURE(ExAcquireRundownProtection(&Rundown); ExReleaseRundownProtection(&Rundown));
}

KBENCH(BenchSList, "S-list, push and pop", "instructions", 0) {
    static SLIST_HEADER Head;
    static SLIST_ENTRY Entry;
    ExInitializeSListHead(&Head);
    return KT_MEASURE(InterlockedPushEntrySList(&Head, &Entry); InterlockedPopEntrySList(&Head));
}

KBENCH(BenchLookaside, "lookaside list, allocate and free", "instructions", 0) {
    static NPAGED_LOOKASIDE_LIST List;
    ExInitializeNPagedLookasideList(&List, NULL, NULL, 0, 64, 'hcnB', 0);
    ULONG64 Cost = KT_MEASURE(ExFreeToNPagedLookasideList(&List, ExAllocateFromNPagedLookasideList(&List)));
    ExDeleteNPagedLookasideList(&List);
    return Cost;
}

/* ---- All CPUs, one lock, free-running: how much is done in the same time, and how evenly ---- */

#define CONTENDED_TICKS 15

typedef struct _CONTENTION {
    VOID (*Pair)(struct _CONTENTION *This);
    KSPIN_LOCK Lock;
    volatile UCHAR TextbookLock;
    EX_SPIN_LOCK RwLock;
    EX_PUSH_LOCK PushLock;
    FAST_MUTEX FastMutex;
    KMUTEX Mutex;
    ERESOURCE Resource;
    volatile ULONG64 Counter;
    ULONG64 End; /* tick */
    ULONG64 Pairs[MAXIMUM_PROCESSORS];
} CONTENTION;

static VOID SpinPair(CONTENTION *This) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&This->Lock, &OldIrql);
    This->Counter++;
    KeReleaseSpinLock(&This->Lock, OldIrql);
}

static VOID QueuedPair(CONTENTION *This) {
    KLOCK_QUEUE_HANDLE Handle;
    KeAcquireInStackQueuedSpinLock(&This->Lock, &Handle);
    This->Counter++;
    KeReleaseInStackQueuedSpinLock(&Handle);
}

static VOID TextbookPair(CONTENTION *This) {
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    KiAcquireTextbookLock(&This->TextbookLock);
    This->Counter++;
    KiReleaseTextbookLock(&This->TextbookLock);
    KeLowerIrql(OldIrql);
}

static VOID RwPair(CONTENTION *This) {
    KIRQL OldIrql = ExAcquireSpinLockExclusive(&This->RwLock);
    This->Counter++;
    ExReleaseSpinLockExclusive(&This->RwLock, OldIrql);
}

static VOID FastPair(CONTENTION *This) {
    ExAcquireFastMutex(&This->FastMutex);
    This->Counter++;
    ExReleaseFastMutex(&This->FastMutex);
}

static VOID PushPair(CONTENTION *This) {
    ExAcquirePushLockExclusive(&This->PushLock);
    This->Counter++;
    ExReleasePushLockExclusive(&This->PushLock);
}

static VOID ResourcePair(CONTENTION *This) {
    ExAcquireResourceExclusiveLite(&This->Resource, TRUE);
    This->Counter++;
    ExReleaseResourceLite(&This->Resource);
}

static VOID MutexPair(CONTENTION *This) {
    KeWaitForSingleObject(&This->Mutex, Executive, KernelMode, FALSE, NULL);
    This->Counter++;
    KeReleaseMutex(&This->Mutex, FALSE);
}

static VOID PairUntilTheEnd(ULONG Processor, PVOID Context) {
    CONTENTION *This = Context;
    ULONG64 Pairs = 0;
    KeEnterCriticalRegion();
    while (KiTickCount < This->End) {
        This->Pair(This);
        Pairs++;
    }
    KeLeaveCriticalRegion();
    This->Pairs[Processor] = Pairs;
}

static CONTENTION Contention;

static VOID Contend(VOID (*Pair)(CONTENTION *This)) {
    Contention = (CONTENTION){.Pair = Pair};
    ExInitializeFastMutex(&Contention.FastMutex);
    KeInitializeMutex(&Contention.Mutex, 0);
    ExInitializeResourceLite(&Contention.Resource);
    Contention.End = KiTickCount + CONTENDED_TICKS;
    KtRunOnAllCpus(PairUntilTheEnd, &Contention);
    ExDeleteResourceLite(&Contention.Resource);
}

/* Hundredths: pairs in the time in which the spin lock makes one. */
static ULONG64 Throughput(VOID (*Pair)(CONTENTION *This)) {
    Contend(SpinPair);
    ULONG64 Spin = Contention.Counter;
    Contend(Pair);
    return Contention.Counter * 100 / Spin;
}

/* Hundredths: the unluckiest CPU's share of the luckiest one's. */
static ULONG64 Fairness(VOID (*Pair)(CONTENTION *This)) {
    ULONG64 Least = ~0ULL, Most = 1;
    Contend(Pair);
    for (ULONG i = 0; i < KeNumberProcessors; i++) {
        Least = Contention.Pairs[i] < Least ? Contention.Pairs[i] : Least;
        Most = Contention.Pairs[i] > Most ? Contention.Pairs[i] : Most;
    }
    return Least * 100 / Most;
}

#define CONTENDED(Pair_, Name_)                                                            \
    KBENCH(Throughput##Pair_, Name_ ", contended: pairs per spin-lock pair", "ratio", 0) { \
        return Throughput(Pair_);                                                          \
    }                                                                                      \
    KBENCH(Fairness##Pair_, Name_ ", contended: least : most", "ratio", 0) {               \
        return Fairness(Pair_);                                                            \
    }                                                                                      \
    _Static_assert(1, "")

KBENCH(FairnessSpinPair, "spin lock, contended: least : most", "ratio", 0) {
    return Fairness(SpinPair);
}
CONTENDED(TextbookPair, "textbook lock");
CONTENDED(QueuedPair, "in-stack queued lock");
CONTENDED(RwPair, "EX_SPIN_LOCK exclusive");
CONTENDED(FastPair, "FAST_MUTEX");
CONTENDED(PushPair, "EX_PUSH_LOCK exclusive");
CONTENDED(ResourcePair, "ERESOURCE exclusive");
CONTENDED(MutexPair, "KMUTEX");

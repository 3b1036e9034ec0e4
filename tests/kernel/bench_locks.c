/* bench_locks.c: what it costs to take and release a lock that nobody else wants; and, as ratios, one that others do
 * want. */
#include "ktest.h"

KBENCH(BenchSpinLock, "KeAcquireSpinLock + KeReleaseSpinLock, uncontended", "instructions", 20) {
    static KSPIN_LOCK Lock;
    KIRQL OldIrql;
    return KT_MEASURE(KeAcquireSpinLock(&Lock, &OldIrql); KeReleaseSpinLock(&Lock, OldIrql));
}

KBENCH(BenchQueuedLock, "in-stack queued lock, uncontended pair", "instructions", 30) {
    static KSPIN_LOCK Lock;
    KLOCK_QUEUE_HANDLE Handle;
    return KT_MEASURE(KeAcquireInStackQueuedSpinLock(&Lock, &Handle); KeReleaseInStackQueuedSpinLock(&Handle));
}

KBENCH(BenchFastMutex, "FAST_MUTEX, uncontended pair", "instructions", 30) {
    static FAST_MUTEX Mutex;
    ExInitializeFastMutex(&Mutex);
    return KT_MEASURE(ExAcquireFastMutex(&Mutex); ExReleaseFastMutex(&Mutex));
}

/* ---- Two CPUs, one lock: ratios of times, taken in one run under multi-threaded TCG ---- */

#define CONTENDED_ROUNDS 100000

typedef struct _CONTENTION {
    VOID (*Pair)(struct _CONTENTION *This);
    KSPIN_LOCK Lock;
    volatile UCHAR TextbookLock;
    volatile ULONG64 Counter;
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

static VOID PairRepeatedly(ULONG Processor, PVOID Context) {
    CONTENTION *This = Context;
    UNREFERENCED_PARAMETER(Processor);
    for (ULONG Round = 0; Round < CONTENDED_ROUNDS; Round++) {
        This->Pair(This);
    }
}

static ULONG64 TimeContended(VOID (*Pair)(CONTENTION *This)) {
    CONTENTION This = {.Pair = Pair};
    ULONG64 Start = __rdtsc();
    KtRunOnAllCpus(PairRepeatedly, &This);
    return __rdtsc() - Start;
}

KBENCH(BenchQueuedToSpin, "queued lock : spin lock, time for the same work, 2 CPUs contending", "ratio", 0) {
    ULONG64 Spin = TimeContended(SpinPair);
    return TimeContended(QueuedPair) * 100 / Spin;
}

KBENCH(BenchTextbookToSpin, "textbook lock : spin lock, time for the same work, 2 CPUs contending", "ratio", 0) {
    ULONG64 Spin = TimeContended(SpinPair);
    return TimeContended(TextbookPair) * 100 / Spin;
}

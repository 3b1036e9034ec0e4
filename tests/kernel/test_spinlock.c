/* test_spinlock.c: at most one CPU holds a lock, of any kind; queued locks are handed on in the order of arrival. */
#include "ktest.h"

/* ---- Mutual exclusion: a counter that is incremented in two steps loses counts unless the lock works ---- */

typedef struct _EXCLUSION {
    VOID (*Section)(struct _EXCLUSION *This);
    KSPIN_LOCK Lock;
    volatile UCHAR TextbookLock;
    volatile ULONG64 Counter; /* guarded by the lock under test */
    volatile LONG Inside;
    volatile LONG Violations;
    ULONG Rounds;
} EXCLUSION;

static VOID CriticalSection(EXCLUSION *This) {
    if (InterlockedIncrement(&This->Inside) != 1) {
        InterlockedIncrement(&This->Violations);
    }
    ULONG64 Seen = This->Counter;
    YieldProcessor(); /* gives another CPU the chance to break in */
    This->Counter = Seen + 1;
    InterlockedDecrement(&This->Inside);
}

static VOID WithSpinLock(EXCLUSION *This) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&This->Lock, &OldIrql);
    CriticalSection(This);
    KeReleaseSpinLock(&This->Lock, OldIrql);
}

static VOID WithSynchLevel(EXCLUSION *This) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToSynch(&This->Lock);
    KT_EXPECT_EQ(KeGetCurrentIrql(), SYNCH_LEVEL);
    CriticalSection(This);
    KeReleaseSpinLock(&This->Lock, OldIrql);
}

static VOID AtDpcLevel(EXCLUSION *This) {
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    KeAcquireSpinLockAtDpcLevel(&This->Lock);
    CriticalSection(This);
    KeReleaseSpinLockFromDpcLevel(&This->Lock);
    KeLowerIrql(OldIrql);
}

static VOID WithTries(EXCLUSION *This) {
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    while (!KeTryToAcquireSpinLockAtDpcLevel(&This->Lock)) {
        YieldProcessor();
    }
    CriticalSection(This);
    KeReleaseSpinLockFromDpcLevel(&This->Lock);
    KeLowerIrql(OldIrql);
}

static VOID WithQueuedLock(EXCLUSION *This) {
    KLOCK_QUEUE_HANDLE Handle;
    KeAcquireInStackQueuedSpinLock(&This->Lock, &Handle);
    CriticalSection(This);
    KeReleaseInStackQueuedSpinLock(&Handle);
}

static VOID WithQueuedLockAtDpcLevel(EXCLUSION *This) {
    KLOCK_QUEUE_HANDLE Handle;
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    KeAcquireInStackQueuedSpinLockAtDpcLevel(&This->Lock, &Handle);
    CriticalSection(This);
    KeReleaseInStackQueuedSpinLockFromDpcLevel(&Handle);
    KeLowerIrql(OldIrql);
}

static VOID WithTextbookLock(EXCLUSION *This) {
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    KiAcquireTextbookLock(&This->TextbookLock);
    CriticalSection(This);
    KiReleaseTextbookLock(&This->TextbookLock);
    KeLowerIrql(OldIrql);
}

static VOID Contend(ULONG Processor, PVOID Context) {
    EXCLUSION *This = Context;
    UNREFERENCED_PARAMETER(Processor);
    for (ULONG Round = 0; Round < This->Rounds; Round++) {
        This->Section(This);
    }
}

static VOID ExpectExclusion(VOID (*Section)(EXCLUSION *This), ULONG Rounds) {
    EXCLUSION This = {.Section = Section, .Rounds = Rounds};
    KeInitializeSpinLock(&This.Lock);
    KtRunOnAllCpus(Contend, &This);
    KT_EXPECT_EQ(This.Counter, (ULONG64)Rounds * KeNumberProcessors);
    KT_EXPECT_EQ(This.Violations, 0);
    KT_EXPECT(KeTestSpinLock(&This.Lock));
}

KTEST(spinlock_excludes) {
    ExpectExclusion(WithSpinLock, KtStress(4000));
}

KTEST(spinlock_RaiseToSynch_excludes) {
    ExpectExclusion(WithSynchLevel, KtStress(2000));
}

KTEST(spinlock_AtDpcLevel_excludes) {
    ExpectExclusion(AtDpcLevel, KtStress(4000));
}

KTEST(spinlock_try_excludes) {
    ExpectExclusion(WithTries, KtStress(4000));
}

KTEST(spinlock_queued_excludes) {
    ExpectExclusion(WithQueuedLock, KtRendezvous(2000));
}

KTEST(spinlock_queued_AtDpcLevel_excludes) {
    ExpectExclusion(WithQueuedLockAtDpcLevel, KtRendezvous(2000));
}

KTEST(spinlock_textbook_excludes) {
    ExpectExclusion(WithTextbookLock, KtStress(800));
}

/* ---- The level ---- */

KTEST(spinlock_raises_to_DISPATCH_and_goes_back) {
    KSPIN_LOCK Lock;
    KLOCK_QUEUE_HANDLE Handle;
    KIRQL OldIrql;
    KeInitializeSpinLock(&Lock);
    for (KIRQL Start = PASSIVE_LEVEL; Start <= DISPATCH_LEVEL; Start++) {
        KIRQL Before = KfRaiseIrql(Start);
        KeAcquireSpinLock(&Lock, &OldIrql);
        KIRQL Held = KeGetCurrentIrql();
        KeReleaseSpinLock(&Lock, OldIrql);
        KIRQL Released = KeGetCurrentIrql();
        KeAcquireInStackQueuedSpinLock(&Lock, &Handle);
        KIRQL HeldQueued = KeGetCurrentIrql();
        KeReleaseInStackQueuedSpinLock(&Handle);
        KIRQL ReleasedQueued = KeGetCurrentIrql();
        KeLowerIrql(Before);
        KT_EXPECT_EQ(OldIrql, Start);
        KT_EXPECT_EQ(Held, DISPATCH_LEVEL);
        KT_EXPECT_EQ(Released, Start);
        KT_EXPECT_EQ(HeldQueued, DISPATCH_LEVEL);
        KT_EXPECT_EQ(ReleasedQueued, Start);
    }
}

KTEST(spinlock_test_and_try_see_a_held_lock) {
    KSPIN_LOCK Lock;
    KIRQL OldIrql;
    KeInitializeSpinLock(&Lock);
    BOOLEAN IsFreeBefore = KeTestSpinLock(&Lock);
    KeAcquireSpinLock(&Lock, &OldIrql);
    BOOLEAN IsFreeHeld = KeTestSpinLock(&Lock);
    BOOLEAN IsTaken = KeTryToAcquireSpinLockAtDpcLevel(&Lock);
    KeReleaseSpinLock(&Lock, OldIrql);
    KT_EXPECT(IsFreeBefore);
    KT_EXPECT(!IsFreeHeld);
    KT_EXPECT(!IsTaken);
    KT_EXPECT(KeTestSpinLock(&Lock));
}

/* ---- First come, first served ---- */

typedef struct _FIFO {
    KSPIN_LOCK Lock;
    volatile LONG MayQueue; /* the next CPU that may join */
    volatile LONG Served;
    volatile LONG Order[MAXIMUM_PROCESSORS];
    volatile LONG QueueLength;
} FIFO;

/* CPU 0 holds the lock until all others wait, in the order of their numbers: the lock word, which points to the last
 * one in the queue, changes when one has joined. */
static VOID JoinInOrder(ULONG Processor, PVOID Context) {
    FIFO *Fifo = Context;
    KLOCK_QUEUE_HANDLE Handle;
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    while (Fifo->MayQueue != (LONG)Processor) {
        YieldProcessor();
    }
    if (Processor == 0) {
        KeAcquireInStackQueuedSpinLockAtDpcLevel(&Fifo->Lock, &Handle);
        for (LONG Next = 1; Next < (LONG)KeNumberProcessors; Next++) {
            KSPIN_LOCK Tail = *(volatile KSPIN_LOCK *)&Fifo->Lock;
            Fifo->MayQueue = Next;
            while (*(volatile KSPIN_LOCK *)&Fifo->Lock == Tail) {
                YieldProcessor();
            }
        }
    } else {
        KeAcquireInStackQueuedSpinLockAtDpcLevel(&Fifo->Lock, &Handle);
    }
    Fifo->Order[Fifo->Served] = (LONG)Processor;
    Fifo->Served++;
    KeReleaseInStackQueuedSpinLockFromDpcLevel(&Handle);
    KeLowerIrql(OldIrql);
}

KTEST(spinlock_queued_is_handed_on_in_order_of_arrival) {
    KT_NEEDS_PROCESSORS(2);
    for (ULONG Round = 0; Round < KtRendezvous(50); Round++) {
        FIFO Fifo = {0};
        KtRunOnAllCpus(JoinInOrder, &Fifo);
        KT_EXPECT_EQ(Fifo.Served, KeNumberProcessors);
        for (LONG Index = 0; Index < Fifo.Served; Index++) {
            KT_EXPECT_EQ(Fifo.Order[Index], Index);
        }
    }
}

/* ---- A DPC and a thread of one CPU: the level keeps the DPC out while the thread holds the lock ---- */

typedef struct _SHARED_WITH_DPC {
    EXCLUSION Exclusion;
    KDPC Dpc;
    volatile LONG DpcRuns;
} SHARED_WITH_DPC;

static VOID TakeInDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    SHARED_WITH_DPC *Shared = Context;
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeAcquireSpinLockAtDpcLevel(&Shared->Exclusion.Lock);
    CriticalSection(&Shared->Exclusion);
    KeReleaseSpinLockFromDpcLevel(&Shared->Exclusion.Lock);
    InterlockedIncrement(&Shared->DpcRuns);
}

KTEST(spinlock_keeps_out_the_dpc_of_its_own_cpu) {
    SHARED_WITH_DPC Shared = {0};
    ULONG Rounds = KtStress(2000), Queued = 0;
    KeInitializeSpinLock(&Shared.Exclusion.Lock);
    KeInitializeDpc(&Shared.Dpc, TakeInDpc, &Shared);
    for (ULONG Round = 0; Round < Rounds; Round++) {
        KIRQL OldIrql;
        KeAcquireSpinLock(&Shared.Exclusion.Lock, &OldIrql);
        Queued += KeInsertQueueDpc(&Shared.Dpc, NULL, NULL);
        CriticalSection(&Shared.Exclusion);
        KeReleaseSpinLock(&Shared.Exclusion.Lock, OldIrql);
    }
    KT_WAIT_UNTIL((ULONG)Shared.DpcRuns == Queued);
    KeFlushQueuedDpcs();
    KT_EXPECT_EQ(Shared.Exclusion.Violations, 0);
    KT_EXPECT_EQ(Shared.Exclusion.Counter, (ULONG64)Rounds + Queued);
}

#if DBG
/* ---- Refusals of the checked build ---- */

KTEST_CRASH(spinlock_taken_twice_by_one_cpu) {
    static KSPIN_LOCK Lock;
    KIRQL OldIrql;
    KeAcquireSpinLock(&Lock, &OldIrql);
    KeAcquireSpinLockAtDpcLevel(&Lock);
}

KTEST_CRASH(spinlock_released_without_being_held) {
    static KSPIN_LOCK Lock;
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    KeReleaseSpinLock(&Lock, OldIrql);
}
#endif

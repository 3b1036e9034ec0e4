/* test_rwlock.c: reader/writer and numbered queued spin locks, and a spinning CPU's note of its lock. */
#include "ktest.h"

#define WRITER ((LONG)0x80000000)
#define WRITER_WAITS 0x40000000

KTEST(rwlock_word_counts_readers_and_marks_the_writer) {
    EX_SPIN_LOCK Lock = 0;
    KIRQL OldIrql = ExAcquireSpinLockShared(&Lock);
    KT_EXPECT_EQ(OldIrql, PASSIVE_LEVEL);
    KT_EXPECT_EQ(KeGetCurrentIrql(), DISPATCH_LEVEL);
    ExAcquireSpinLockSharedAtDpcLevel(&Lock);
    KT_EXPECT_EQ(Lock, 2);
    KT_EXPECT(!ExTryAcquireSpinLockExclusiveAtDpcLevel(&Lock));
    KT_EXPECT(!ExTryConvertSharedSpinLockExclusive(&Lock)); /* not the only reader */
    ExReleaseSpinLockSharedFromDpcLevel(&Lock);
    KT_EXPECT(ExTryConvertSharedSpinLockExclusive(&Lock));
    KT_EXPECT_EQ(Lock, WRITER);
    KT_EXPECT(!ExTryAcquireSpinLockSharedAtDpcLevel(&Lock));
    ExReleaseSpinLockExclusive(&Lock, OldIrql);
    KT_EXPECT_EQ(Lock, 0);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
    OldIrql = ExAcquireSpinLockExclusive(&Lock);
    KT_EXPECT_EQ(Lock, WRITER);
    ExReleaseSpinLockExclusive(&Lock, OldIrql);
}

static EX_SPIN_LOCK Shared;
static volatile BOOLEAN WriterIn;

static VOID WriteOnce(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KIRQL OldIrql = ExAcquireSpinLockExclusive(&Shared);
    WriterIn = TRUE;
    ExReleaseSpinLockExclusive(&Shared, OldIrql);
}

KTEST(rwlock_release_leaves_the_mark_of_another_writer_that_waits) {
    EX_SPIN_LOCK Lock = WRITER | WRITER_WAITS;
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    ExReleaseSpinLockExclusiveFromDpcLevel(&Lock);
    BOOLEAN IsLetIn = ExTryAcquireSpinLockSharedAtDpcLevel(&Lock) != FALSE;
    KeLowerIrql(OldIrql);
    KT_EXPECT_EQ(Lock, WRITER_WAITS);
    KT_EXPECT(!IsLetIn);
}

KTEST(rwlock_waiting_writer_keeps_new_readers_out) {
    KT_NEEDS_PROCESSORS(2);
    static KT_THREAD Thread;
    Shared = 0;
    WriterIn = FALSE;
    KtPin(0);
    KIRQL OldIrql = KeGetCurrentIrql();
    KT_REQUIRE(KtCreateThread(&Thread, "writer", 9, 1, WriteOnce, NULL));
    ExAcquireSpinLockShared(&Shared);
    while (!WriterIn && !(Shared & WRITER_WAITS)) {
        YieldProcessor();
    }
    if (!WriterIn) { /* it may have been quicker than this reader */
        KT_EXPECT(!ExTryAcquireSpinLockSharedAtDpcLevel(&Shared));
        KT_EXPECT(!ExTryConvertSharedSpinLockExclusive(&Shared));
        while (KiProcessorBlock[1]->SpinningOn != (PKSPIN_LOCK)&Shared) {
            YieldProcessor();
        }
    }
    ExReleaseSpinLockShared(&Shared, OldIrql);
    KtJoin(&Thread);
    KtUnpin();
    KT_EXPECT_EQ(Shared, 0);
    KT_EXPECT(WriterIn);
}

static volatile LONG Readers, Writers;
static volatile ULONG64 Total;
static volatile LONG Writes;

static VOID ReadAndWrite(ULONG Processor, PVOID Context) {
    KT_RANDOM Random;
    UNREFERENCED_PARAMETER(Context);
    KtSeedRandom(&Random, Processor);
    for (ULONG i = 0; i < KtRendezvous(2000); i++) {
        if (KtRandom(&Random, 3) == 0) {
            KIRQL OldIrql = ExAcquireSpinLockExclusive(&Shared);
            KT_EXPECT_EQ(InterlockedIncrement(&Writers), 1);
            KT_EXPECT_EQ(Readers, 0);
            Total = Total + 1;
            InterlockedIncrement(&Writes);
            InterlockedDecrement(&Writers);
            ExReleaseSpinLockExclusive(&Shared, OldIrql);
        } else {
            KIRQL OldIrql = ExAcquireSpinLockShared(&Shared);
            InterlockedIncrement(&Readers);
            KT_EXPECT_EQ(Writers, 0);
            InterlockedDecrement(&Readers);
            ExReleaseSpinLockShared(&Shared, OldIrql);
        }
    }
}

KTEST(rwlock_keeps_writers_apart_from_everybody) {
    Shared = 0;
    Readers = Writers = Writes = 0;
    Total = 0;
    KtRunOnAllCpus(ReadAndWrite, NULL);
    KT_EXPECT_EQ(Total, (ULONG64)Writes);
    KT_EXPECT_EQ(Shared, 0);
}

/* ---- Numbered queued spin locks ---- */

static VOID CountUnderQueuedLock(ULONG Processor, PVOID Context) {
    UNREFERENCED_PARAMETER(Processor);
    UNREFERENCED_PARAMETER(Context);
    for (ULONG i = 0; i < KtRendezvous(2000); i++) {
        KIRQL OldIrql;
        if (i % 3 != 0) {
            OldIrql = KeAcquireQueuedSpinLock(LockQueueNtfsStructLock);
        } else if (!KeTryToAcquireQueuedSpinLock(LockQueueNtfsStructLock, &OldIrql)) {
            KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
            continue;
        }
        Total = Total + 1;
        InterlockedIncrement(&Writes);
        KeReleaseQueuedSpinLock(LockQueueNtfsStructLock, OldIrql);
    }
}

KTEST(queuedlock_numbered_lets_one_CPU_in_at_a_time) {
    Writes = 0;
    Total = 0;
    KtRunOnAllCpus(CountUnderQueuedLock, NULL);
    KT_EXPECT_EQ(Total, (ULONG64)Writes);
}

KTEST(queuedlock_raises_as_its_name_says) {
    static KSPIN_LOCK Lock;
    KLOCK_QUEUE_HANDLE Handle;
    KIRQL OldIrql = KeAcquireQueuedSpinLockRaiseToSynch(LockQueueBcbLock);
    KT_EXPECT_EQ(KeGetCurrentIrql(), SYNCH_LEVEL);
    KeReleaseQueuedSpinLock(LockQueueBcbLock, OldIrql);
    KeAcquireInStackQueuedSpinLockRaiseToSynch(&Lock, &Handle);
    KT_EXPECT_EQ(KeGetCurrentIrql(), SYNCH_LEVEL);
    KT_EXPECT_EQ(Handle.OldIrql, PASSIVE_LEVEL);
    KeReleaseInStackQueuedSpinLock(&Handle);
    KeAcquireInStackQueuedSpinLockForDpc(&Lock, &Handle);
    KT_EXPECT_EQ(KeGetCurrentIrql(), DISPATCH_LEVEL);
    KeReleaseInStackQueuedSpinLockForDpc(&Handle);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
    KT_EXPECT_EQ(Lock, 0);
}

/* ---- CPUs that spin ---- */

static KSPIN_LOCK Held;

static VOID TakeHeld(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KIRQL OldIrql;
    KeAcquireSpinLock(&Held, &OldIrql);
    KeReleaseSpinLock(&Held, OldIrql);
}

KTEST(spinlock_waiter_says_which_lock_it_spins_on) {
    KT_NEEDS_PROCESSORS(2);
    static KT_THREAD Thread;
    KIRQL OldIrql = PASSIVE_LEVEL;
    KtPin(0);
    for (ULONG Try = 0; Try < 2; Try++) {
        KT_REQUIRE(KtCreateThread(&Thread, "spinner", 9, 1, TakeHeld, NULL));
        KeAcquireSpinLock(&Held, &OldIrql);
        while (KiProcessorBlock[1]->SpinningOn != &Held && Thread.Thread->Tcb.State != Terminated) {
            YieldProcessor();
        }
        KeReleaseSpinLock(&Held, OldIrql);
        KtJoin(&Thread);
    }
    KtUnpin();
    KT_EXPECT_EQ(KiProcessorBlock[1]->SpinningOn == &Held, FALSE);
}

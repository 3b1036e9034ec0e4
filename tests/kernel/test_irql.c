/* test_irql.c: IRQL is CR8: an interrupt that a level holds back comes when the level falls, and not before. */
#include "ktest.h"

KTEST(irql_KeGetCurrentIrql_is_CR8) {
    for (KIRQL Level = PASSIVE_LEVEL; Level <= HIGH_LEVEL; Level++) {
        KIRQL OldIrql = KfRaiseIrql(Level);
        KIRQL Seen = KeGetCurrentIrql();
        ULONG64 Cr8 = __readcr8();
        KeLowerIrql(OldIrql);
        KT_EXPECT_EQ(Seen, Level);
        KT_EXPECT_EQ(Cr8, Level);
    }
}

KTEST(irql_KeRaiseIrql_returns_the_level_before) {
    KIRQL First, Second;
    KeRaiseIrql(APC_LEVEL, &First);
    KeRaiseIrql(DISPATCH_LEVEL, &Second);
    KIRQL Third = KeRaiseIrqlToSynchLevel();
    KeLowerIrql(Third);
    KIRQL Fourth = KeRaiseIrqlToDpcLevel();
    KeLowerIrql(First);
    KT_EXPECT_EQ(First, PASSIVE_LEVEL);
    KT_EXPECT_EQ(Second, APC_LEVEL);
    KT_EXPECT_EQ(Third, DISPATCH_LEVEL);
    KT_EXPECT_EQ(Fourth, DISPATCH_LEVEL);
}

typedef struct _SEEN {
    volatile LONG Runs;
    volatile KIRQL Irql;
} SEEN;

static VOID NoteRun(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    SEEN *Seen = Context;
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    Seen->Irql = KeGetCurrentIrql();
    InterlockedIncrement(&Seen->Runs);
}

/* How often a DPC queued at Level has run: while still there, and after going down to Lower. */
static VOID QueueAtAndLowerTo(KIRQL Level, KIRQL Lower, LONG *RunsBefore, LONG *RunsAfter) {
    SEEN Seen = {0};
    KDPC Dpc;
    KeInitializeDpc(&Dpc, NoteRun, &Seen);
    KIRQL OldIrql = KfRaiseIrql(Level);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    *RunsBefore = Seen.Runs;
    KeLowerIrql(Lower);
    for (ULONG Try = 0; Try < 100000 && Seen.Runs == 0 && Lower < DISPATCH_LEVEL; Try++) {
        YieldProcessor(); /* other accelerators than QEMU's own may deliver a little later */
    }
    *RunsAfter = Seen.Runs;
    KeLowerIrql(OldIrql);
    KT_WAIT_UNTIL(Seen.Runs != 0);
    KT_EXPECT_EQ(Seen.Irql, DISPATCH_LEVEL);
}

KTEST(irql_KeLowerIrql_runs_pending_dpc) {
    LONG Before, After;
    KtPin(0);
    for (KIRQL Level = DISPATCH_LEVEL; Level <= HIGH_LEVEL; Level++) {
        QueueAtAndLowerTo(Level, PASSIVE_LEVEL, &Before, &After);
        KT_EXPECT_EQ(Before, 0);
        KT_EXPECT_EQ(After, 1);
    }
    KtUnpin();
}

KTEST(irql_dpc_stays_pending_while_level_is_DISPATCH) {
    LONG Before, After;
    KtPin(0);
    QueueAtAndLowerTo(SYNCH_LEVEL, DISPATCH_LEVEL, &Before, &After);
    KT_EXPECT_EQ(Before, 0);
    KT_EXPECT_EQ(After, 0);
    KtUnpin();
}

KTEST(irql_dpc_runs_when_level_falls_to_APC) {
    LONG Before, After;
    KtPin(0);
    QueueAtAndLowerTo(DISPATCH_LEVEL, APC_LEVEL, &Before, &After);
    KT_EXPECT_EQ(Before, 0);
    KT_EXPECT_EQ(After, 1);
    KtUnpin();
}

KTEST(irql_pending_dpc_waits_for_interrupts_to_be_enabled) {
    SEEN Seen = {0};
    KDPC Dpc;
    KtPin(0);
    KeInitializeDpc(&Dpc, NoteRun, &Seen);
    _disable();
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    LONG WhileDisabled = Seen.Runs;
    _enable();
    KT_WAIT_UNTIL(Seen.Runs != 0);
    KtUnpin();
    KT_EXPECT_EQ(WhileDisabled, 0);
}

/* The clock (level 13) ticks through everything below it, and not while a CPU is at its level. An emulator's timer may be
 * late by any time that its host is busy, so a tick is waited for, with a limit; that none comes is looked at for a while. */
static BOOLEAN DoesTickCome(PKPRCB Prcb, ULONG64 LimitTsc) {
    ULONG64 Before = Prcb->ClockTicks;
    for (ULONG64 End = __rdtsc() + LimitTsc; Prcb->ClockTicks == Before && __rdtsc() < End;) {
        KtSpin();
    }
    return Prcb->ClockTicks != Before;
}

KTEST_ALONE(irql_clock_is_held_back_by_CLOCK_LEVEL_only) {
    const ULONG64 MoreThanATick = HalFeatures.TscHz / CLOCK_HZ * 5 / 4, LongTime = HalFeatures.TscHz * 5;
    KtPin(0);
    KIRQL OldIrql = KfRaiseIrql(SYNCH_LEVEL);
    PKPRCB Prcb = KeGetCurrentPrcb();
    BOOLEAN AtSynch = DoesTickCome(Prcb, LongTime);
    KfRaiseIrql(CLOCK_LEVEL);
    BOOLEAN AtClock = DoesTickCome(Prcb, MoreThanATick);
    ULONG64 Start = Prcb->ClockTicks;
    KeLowerIrql(OldIrql);
    KT_WAIT_UNTIL(Prcb->ClockTicks != Start);
    KtUnpin();
    KT_EXPECT(AtSynch);
    KT_EXPECT(!AtClock);
}

static VOID RaiseAndCount(ULONG Processor, PVOID Context) {
    volatile LONG *Wrong = Context;
    UNREFERENCED_PARAMETER(Processor);
    for (ULONG Round = 0; Round < KtStress(5000); Round++) {
        KIRQL Level = (KIRQL)(Round % (HIGH_LEVEL + 1));
        KIRQL OldIrql = KfRaiseIrql(Level);
        ULONG Number = KeGetCurrentProcessorNumber();
        if (OldIrql != PASSIVE_LEVEL || KeGetCurrentIrql() != Level || Number != Processor) {
            InterlockedIncrement(Wrong);
        }
        KeLowerIrql(OldIrql);
    }
}

KTEST(irql_belongs_to_each_cpu_alone) {
    LONG Wrong = 0;
    KtRunOnAllCpus(RaiseAndCount, &Wrong);
    KT_EXPECT_EQ(Wrong, 0);
}

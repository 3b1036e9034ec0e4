/* test_clock.c: the clock keeps time: ticks come as often as timer.c has calibrated, timers expire at their tick, and a
 * wake-up that needs no clock does not wait for it. */
#include "ktest.h"

#define TICKS 16
#define COUNTED_TICKS 4 /* each costs QEMU fifteen million instructions */
#define UNITS_PER_SECOND 10000000ULL
#define COUNTED_HZ 1000000000ULL /* QEMU's -icount shift=0: an instruction is a nanosecond */

static ULONG64 TscOfTick(VOID) {
    return HalFeatures.TscHz * TIME_INCREMENT / UNITS_PER_SECOND;
}

/* TSC ticks that pass while the clock ticks so often. *Short counts the ticks that came within one and a half. */
static ULONG64 MeasureTicks(ULONG Ticks, ULONG *Short) {
    ULONG64 Seen = KiTickCount, Start = 0, Last = 0;
    *Short = 0;
    for (ULONG Tick = 0; Tick <= Ticks; Tick++) {
        while (KiTickCount == Seen) {
            KtSpin();
        }
        ULONG64 Now = HalReadTsc();
        Seen = KiTickCount;
        Start = Tick == 0 ? Now : Start;
        *Short += Tick != 0 && Now - Last < TscOfTick() * 3 / 2;
        Last = Now;
    }
    return Last - Start;
}

/* A busy host may hold ticks back, the first one more than the others, and lose some; where instructions are counted it
 * cannot. */
KTEST_ALONE(clock_ticks_are_as_long_as_they_should_be) {
    ULONG Ticks = KtIsSeeded() ? COUNTED_TICKS : TICKS, Short;
    ULONG64 Nominal = TscOfTick() * Ticks, Took = MeasureTicks(Ticks, &Short);
    for (ULONG Try = 0; Try < 20 && (Short < Ticks / 4 || Took < Nominal * 3 / 4); Try++) {
        Took = MeasureTicks(Ticks, &Short);
    }
    KT_EXPECT(Took >= Nominal * 3 / 4);
    KT_EXPECT(Short >= Ticks / 4);
    if (KtIsSeeded()) {
        KT_EXPECT(Took <= Nominal * 9 / 8);
        KT_EXPECT(HalFeatures.TscHz > COUNTED_HZ / 100 * 98 && HalFeatures.TscHz < COUNTED_HZ / 100 * 102);
    }
}

/* ---- Timers: never early, and not later than the tick that reaches the due time ---- */

typedef struct _ALARM {
    KTIMER Timer;
    KDPC Dpc;
    volatile ULONG64 Expired; /* interrupt time; 0: not yet */
} ALARM;

static VOID NoteExpiry(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    ALARM *Alarm = Context;
    UNREFERENCED_PARAMETER(Dpc);
    Alarm->Expired = ((ULONG64)Argument2 << 32 | (ULONG64)Argument1) - KiBootTime;
}

static VOID SetAlarm(ALARM *Alarm, LONG Ticks) {
    LARGE_INTEGER Due = {.QuadPart = -(LONGLONG)Ticks * TIME_INCREMENT};
    Alarm->Expired = 0;
    KeInitializeTimer(&Alarm->Timer);
    KeInitializeDpc(&Alarm->Dpc, NoteExpiry, Alarm);
    KeSetTimer(&Alarm->Timer, Due, &Alarm->Dpc);
}

/* The next due time must not drag the one after it along. A busy host may make one late, but not each time. */
KTEST(clock_timers_expire_at_the_tick_that_reaches_their_due_time) {
    static ALARM Alarm[3];
    BOOLEAN IsPunctual = FALSE;
    for (ULONG Try = 0; Try < 20 && !IsPunctual; Try++) {
        IsPunctual = TRUE;
        for (ULONG Index = 0; Index < RTL_NUMBER_OF(Alarm); Index++) {
            SetAlarm(&Alarm[Index], (LONG)Index + 2);
        }
        for (ULONG Index = 0; Index < RTL_NUMBER_OF(Alarm); Index++) {
            ULONG64 Due = (ULONG64)Alarm[Index].Timer.DueTime.QuadPart;
            KT_WAIT_UNTIL(Alarm[Index].Expired != 0);
            KT_EXPECT(Alarm[Index].Expired >= Due);
            IsPunctual &= Alarm[Index].Expired == Due;
        }
        KeFlushQueuedDpcs();
    }
    KT_EXPECT(IsPunctual);
}

/* ---- A thread that is woken for another CPU runs there at once, not at that CPU's next tick ---- */

#define ROUND_TRIPS 40
static KEVENT There, Back;

static VOID Answer(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    for (ULONG Round = 0; Round < ROUND_TRIPS; Round++) {
        KeWaitForSingleObject(&There, Executive, KernelMode, FALSE, NULL);
        KeSetEvent(&Back, IO_NO_INCREMENT, FALSE);
    }
}

KTEST(clock_is_not_waited_for_to_wake_a_thread_on_another_cpu) {
    KT_THREAD Thread;
    ULONG64 Quickest = ~0ULL;
    KT_NEEDS_PROCESSORS(2);
    KeInitializeEvent(&There, SynchronizationEvent, FALSE);
    KeInitializeEvent(&Back, SynchronizationEvent, FALSE);
    KtPin(0);
    KT_REQUIRE(KtCreateThread(&Thread, "answer", 8, 1, Answer, NULL));
    for (ULONG Round = 0; Round < ROUND_TRIPS; Round++) {
        ULONG64 Start = HalReadTsc();
        KeSetEvent(&There, IO_NO_INCREMENT, FALSE);
        KeWaitForSingleObject(&Back, Executive, KernelMode, FALSE, NULL);
        ULONG64 Took = HalReadTsc() - Start;
        Quickest = Took < Quickest ? Took : Quickest;
    }
    KtJoin(&Thread);
    KtUnpin();
    KT_EXPECT(Quickest < TscOfTick() / 2);
}

/* ---- Uptime ---- */

/* uptime= on the command line; without it the machine has just been started. All clocks agree, to a minute. */
KTEST(clock_uptime_is_the_same_on_every_clock) {
    ULONG64 Seconds = KeGetBootOptionNumber("uptime", 0), Margin = 60;
    LARGE_INTEGER Ticks, Hz, System;
    KeQueryTickCount(&Ticks);
    ULONG64 Qpc = (ULONG64)KeQueryPerformanceCounter(&Hz).QuadPart / (ULONG64)Hz.QuadPart;
    ULONG64 Interrupt = KeQueryInterruptTime() / 10000000;
    ULONG64 Before = KiInterruptTime;
    KeQuerySystemTime(&System);
    KT_EXPECT((ULONG64)Ticks.QuadPart / CLOCK_HZ - Seconds < Margin);
    KT_EXPECT(Interrupt - Seconds < Margin && KeQueryInterruptTimePrecise(NULL) / 10000000 - Seconds < Margin);
    KT_EXPECT(Qpc - Seconds < Margin);
    KT_EXPECT((ULONG64)System.QuadPart - Before - KiBootTime < 10000000);
    KT_EXPECT(HalReadRealTimeClock() + 20000000 - (ULONG64)System.QuadPart < 600000000); /* the uptime is in the past */
}

/* ---- Whose a tick is ---- */

static VOID PassTicks(ULONG Ticks) {
    for (ULONG64 End = KeGetCurrentPrcb()->ClockTicks + Ticks; KeGetCurrentPrcb()->ClockTicks < End;) {
        KtSpin();
    }
}

KTEST_ALONE(clock_ticks_at_DISPATCH_are_no_threads) {
    KtPin(0);
    PKPRCB Prcb = KeGetCurrentPrcb();
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    ULONG64 Dpc = Prcb->DpcTicks, Kernel = Prcb->KernelTicks;
    PassTicks(2);
    ULONG64 Raised = Prcb->DpcTicks - Dpc, Lowered = Prcb->KernelTicks - Kernel;
    KeLowerIrql(OldIrql);
    Kernel = Prcb->KernelTicks;
    PassTicks(2);
    ULONG64 After = Prcb->KernelTicks - Kernel;
    KtUnpin();
    KT_EXPECT(Raised >= 2 && Lowered == 0);
    KT_EXPECT(After != 0);
}

/* ---- Stalls ---- */

static ULONG64 TimeOfStall(ULONG MicroSeconds) {
    KIRQL OldIrql = KfRaiseIrql(HIGH_LEVEL); /* no interrupt counts */
    ULONG64 Start = HalReadTsc();
    KeStallExecutionProcessor(MicroSeconds);
    ULONG64 Took = HalReadTsc() - Start;
    KeLowerIrql(OldIrql);
    return Took;
}

/* A counted clock does not move while the host is busy: there a stall ends when it should, at any speed that it
 * measures of its own loop. The least of a few: other CPUs may be given a turn in between, and count. */
KTEST(clock_stall_takes_its_time_and_little_more) {
    static const ULONG MicroSeconds[] = {0, 1, 2, 7, 50, 999, 5000};
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(MicroSeconds); Index++) {
        ULONG64 Wanted = HalFeatures.TscHz * MicroSeconds[Index] / 1000000, Least = ~0ULL;
        for (ULONG Round = 0; Round < 5; Round++) {
            ULONG64 Took = TimeOfStall(MicroSeconds[Index]);
            KT_EXPECT(Took >= Wanted);
            Least = Took < Least ? Took : Least;
        }
        if (KtIsSeeded()) {
            KT_EXPECT(Least <= Wanted + Wanted / 16 + TscOfTick() / 10000);
        }
    }
}

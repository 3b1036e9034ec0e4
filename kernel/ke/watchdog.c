/* watchdog.c: the watchdogs: the clock looks for CPUs without progress, so that a hang is diagnosed.
 *
 *      0x133 (0)   one DPC, or one interrupt service routine, has run for more than its allotment
 *      0x133 (1)   a CPU has spent the whole period at DISPATCH_LEVEL or above: the end of a spin-lock deadlock, or of
 *                  a DPC that always queues itself again
 *      0x101       a CPU takes no clock interrupts: it spins with IF = 0 or at CLOCK_LEVEL and above
 *
 * NT's limits are 20 s for a routine and 120 s for the period. watchdog=SECONDS on the command line sets all of them
 * (tests and impatient people), and the parameters then show that many seconds in ticks. Each CPU watches itself for
 * 0x133 and its neighbour for 0x101, so that no CPU goes unwatched. */
#include <arch.h>
#include <ring.h>

#define DPC_LIMIT_SECONDS 20
#define PERIOD_LIMIT_SECONDS 120
#define CLOCK_LIMIT_SECONDS 20

static ULONG LimitTicks(ULONG DefaultSeconds) {
    return (ULONG)KeGetBootOptionNumber("watchdog", DefaultSeconds) * CLOCK_HZ;
}

static ULONG DpcLimitTicks, PeriodLimitTicks, ClockLimitTicks;

/* haste=N: every tick counts as N. A judged driver (judge/judge.c) then needs two seconds in place of two minutes for a
 * verdict whose parameters are NT's. */
static ULONG Haste;

static VOID InitializeWatchdogs(VOID) {
    Haste = (ULONG)KeGetBootOptionNumber("haste", 1);
    DpcLimitTicks = LimitTicks(DPC_LIMIT_SECONDS);
    PeriodLimitTicks = LimitTicks(PERIOD_LIMIT_SECONDS);
    ClockLimitTicks = LimitTicks(CLOCK_LIMIT_SECONDS);
}
KE_STARTUP_STEP(StartBeforeClock, InitializeWatchdogs);

static BOOLEAN IsInRoutine(const KPRCB *Prcb) {
    return Prcb->DpcRoutineActive || Prcb->ServiceDepth != 0;
}

/* A tick that finds the CPU below DISPATCH_LEVEL starts both counts anew, and so does a thread switch (scheduler.c) with
 * the first: work that keeps time with the clock may be at DISPATCH_LEVEL at every tick, and idle in between. Each DPC and
 * each service routine starts its own when it begins (dpc.c, io/interrupt.c). Where both limits are the same, a routine
 * that has used up most of the time by itself is the better explanation. */
static VOID WatchSelf(PKPRCB Prcb, PKTRAP_FRAME Frame) {
    if (Frame->PreviousIrql < DISPATCH_LEVEL) {
        Prcb->DpcWatchdogTicks = Prcb->DpcRoutineTicks = 0;
        return;
    }
    ULONG Ticks = ++Prcb->DpcWatchdogTicks * Haste, RoutineTicks = ++Prcb->DpcRoutineTicks * Haste;
    if (IsInRoutine(Prcb) && RoutineTicks > DpcLimitTicks) {
        KiBugCheckFromTrap(DPC_WATCHDOG_VIOLATION, 0, DpcLimitTicks + 1, DpcLimitTicks, 0, Frame);
    }
    if (Ticks > PeriodLimitTicks && !(IsInRoutine(Prcb) && RoutineTicks > DpcLimitTicks / 2)) {
        KiBugCheckFromTrap(DPC_WATCHDOG_VIOLATION, 1, PeriodLimitTicks, 0, 0, Frame);
    }
}

/* The neighbour's tick count must move while ours does. */
static VOID WatchNeighbour(PKPRCB Prcb) {
    PKPRCB Neighbour = KiProcessorBlock[(Prcb->Number + 1) % KeNumberProcessors];
    if (Neighbour == Prcb || Neighbour->ClockTicks == 0) {
        return;
    }
    if (Neighbour->ClockTicks != Prcb->NeighbourTicks) {
        Prcb->NeighbourTicks = Neighbour->ClockTicks;
        Prcb->NeighbourSilence = 0;
        return;
    }
    /* Without a seed a host that is busy may keep a CPU from running for a while: no haste there. */
    if (++Prcb->NeighbourSilence * (KeSeed != 0 ? Haste : 1) > ClockLimitTicks) {
        KeBugCheckEx(CLOCK_WATCHDOG_TIMEOUT, ClockLimitTicks, 0, (ULONG_PTR)Neighbour, Neighbour->Number);
    }
}

/* From the clock interrupt of each CPU, at CLOCK_LEVEL. */
static VOID CheckWatchdogs(PKTRAP_FRAME Frame) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    WatchSelf(Prcb, Frame);
    WatchNeighbour(Prcb);
}
KE_ATTACH(KiClockHook, CheckWatchdogs);

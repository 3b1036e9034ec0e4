/* clock.c: the clock of each CPU: its local APIC timer, 64 ticks a second, or as the seed decides.
 *
 * Seeded runs (seed=N with QEMU's -icount). There, a CPU runs until something stops it, so two CPUs interleave only at
 * timers, `pause` and `hlt`, always in the same way: races stay hidden. The jitter is an interrupt at pseudo-random
 * deadlines of some hundred to some thousand instructions (under -icount the TSC counts instructions), at CLOCK_LEVEL,
 * so that it also splits code that holds spin locks. Each CPU draws its deadlines from the seed and its own number: one
 * seed is one schedule. The first of these interrupts to find a tick's time passed does the tick. With jitter=0
 * there is none: the preemptions come from a list (docs/exploring.md). */
#include <io.h>
#include <trace.h>
#include "hal.h"

#define LVT_PERIODIC 0x20000
#define LVT_TSC_DEADLINE 0x40000
#define MSR_TSC_DEADLINE 0x6E0
#define JITTER_SHORTEST 400 /* TSC ticks; below about 300 the interrupts take all the time */
#define JITTER_RANGE 5600

/* The due time of this CPU's next tick, in TSC ticks; only the CPU itself touches its row. */
static ULONG64 NextTick[MAXIMUM_PROCESSORS];

static ULONG64 TickPeriod(VOID) {
    return HalFeatures.TscHz / CLOCK_HZ;
}

BOOLEAN HalpHasJitter;

/* shift= on the command line, as QEMU's: an instruction takes 2^shift TSC ticks. */
static ULONG JitterShift;

/* xorshift64*: a full period over all states but 0. */
static ULONG64 NextRandom(PKPRCB Prcb) {
    ULONG64 State = Prcb->JitterState;
    State ^= State >> 12;
    State ^= State << 25;
    State ^= State >> 27;
    Prcb->JitterState = State;
    return State * 0x2545F4914F6CDD1DULL;
}

static VOID SeedJitter(PKPRCB Prcb) {
    ULONG64 State = KeSeed * 0x9E3779B97F4A7C15ULL + (Prcb->Number + 1) * 0xD1B54A32D192ED03ULL;
    Prcb->JitterState = State != 0 ? State : 1;
    for (ULONG i = 0; i < 8; i++) {
        NextRandom(Prcb); /* seeds that differ in one bit start far apart */
    }
}

static VOID ArmIn(ULONG64 Ticks) {
    ULONG64 Count = Ticks * HalpApicTimerHz / HalFeatures.TscHz;
    HalpWriteApic(APIC_TIMER_INITIAL, Count != 0 ? (ULONG)Count : 1);
}

/* A halted CPU has no jitter: an interrupt that may bring it work calls this too. CLOCK_LEVEL, or IF = 0. */
VOID HalpArmJitter(PKPRCB Prcb) {
    ULONG64 Ticks = JITTER_SHORTEST + (NextRandom(Prcb) >> 32) % JITTER_RANGE;
    ArmIn(Ticks << JitterShift); /* the same number of instructions, however long each takes */
}

/* A deadline in the past fires at once: ticks that were missed (a stopped virtual machine) are skipped, not made up. */
static VOID ArmDeadline(PKPRCB Prcb) {
    ULONG64 Now = HalReadTsc();
    ULONG64 *Next = &NextTick[Prcb->Number];
    *Next += TickPeriod();
    if (*Next < Now) {
        *Next = Now + TickPeriod();
    }
    __writemsr(MSR_TSC_DEADLINE, *Next);
}

static VOID HandleJitter(PKPRCB Prcb, PKTRAP_FRAME Frame) {
    ULONG64 *Next = &NextTick[Prcb->Number];
    if (HalReadTsc() >= *Next) {
        *Next += TickPeriod();
        ULONG Old = (ULONG)Frame->PreviousIrql;
        KdTrace(TraceInterrupt, Old, VECTOR_CLOCK, Frame->Rip, 0);
        KeUpdateSystemTime(Frame);
        KdTrace(TraceInterruptEnd, Old, VECTOR_CLOCK, Frame->Rip, 0);
    }
    ULONG64 Now = HalReadTsc();
    if (Prcb->CurrentThread == Prcb->IdleThread && Frame->PreviousIrql == PASSIVE_LEVEL && *Next > Now) {
        ArmIn(*Next - Now); /* a halted CPU has no schedule to shake */
        return;
    }
    HalpArmJitter(Prcb); /* last: the deadline counts from the end of the handler */
}

/* Vector 0xD1, at CLOCK_LEVEL. */
VOID HalpClockInterrupt(PKTRAP_FRAME Frame) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    KeReleaseClockDpc(); /* ke/clockdpc.c */
    if (HalpHasJitter) {
        HandleJitter(Prcb, Frame);
        return;
    }
    if (HalFeatures.TscDeadline) {
        ArmDeadline(Prcb);
    }
    KeUpdateSystemTime(Frame);
}

/* Each CPU for itself, after HalpCalibrateTimers; the first tick comes when CR8 and IF let it. */
VOID HalStartClock(VOID) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    NextTick[Prcb->Number] = HalReadTsc() + TickPeriod();
    HalpWriteApic(APIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
    HalpHasJitter = KeSeed != 0 && KeGetBootOptionNumber("jitter", 1) != 0;
    if (HalpHasJitter) {
        JitterShift = (ULONG)KeGetBootOptionNumber("shift", 0) & 15;
        SeedJitter(Prcb);
        HalpWriteApic(APIC_LVT_TIMER, VECTOR_CLOCK);
        HalpArmJitter(Prcb);
    } else if (HalFeatures.TscDeadline) {
        HalpWriteApic(APIC_LVT_TIMER, LVT_TSC_DEADLINE | VECTOR_CLOCK);
        KeMemoryBarrier(); /* xAPIC: the mode must be set before the MSR is written */
        __writemsr(MSR_TSC_DEADLINE, NextTick[Prcb->Number]);
    } else {
        HalpWriteApic(APIC_LVT_TIMER, LVT_PERIODIC | VECTOR_CLOCK);
        HalpWriteApic(APIC_TIMER_INITIAL, (ULONG)(HalpApicTimerHz / CLOCK_HZ));
    }
}

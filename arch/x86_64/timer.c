/* timer.c: the rates of the time-stamp counter and the APIC timer, measured against a known clock.
 *
 * The clock is channel 2 of the 8254 PIT, which every PC has had since 1981, or, where it does not count, ACPI's
 * power-management timer. A measurement begins before the clock starts and ends after it has run out, so it can only
 * come out too long (the emulator's host is busy, an SMI strikes): of several the shortest is the true one, and a
 * second one that agrees with it confirms it. */
#include "hal.h"

#define PIT_HZ 1193182
#define PIT_CHANNEL_2 0x42
#define PIT_COMMAND 0x43
#define PIT_CHANNEL_2_MODE_0 0xB0 /* low byte then high byte; OUT rises when the count is over */
#define PORT_61 0x61
#define PORT_61_GATE_2 0x01
#define PORT_61_SPEAKER 0x02
#define PORT_61_OUT_2 0x20
#define PM_TIMER_HZ 3579545
#define PIT_ATTEMPTS 8
#define MAXIMUM_MEASUREMENTS 16
#define AGREEMENT 128  /* two that differ by less than a 128th */
#define MEASURE_HZ 250 /* each takes 4 ms */
#define MAXIMUM_POLLS 1000000
#define BETWEEN_POLLS 16 /* rounds: cheap beside a port read, and far fewer reads where instructions count */
#define LONGEST_COUNT 0xFFFFFFFF

ULONG64 HalpApicTimerHz;

typedef struct _MEASUREMENT {
    ULONG64 Tsc;
    ULONG ApicTicks;
} MEASUREMENT;

ULONG64 HalReadTsc(VOID) {
    return __rdtsc();
}

static VOID Spin(ULONG64 Rounds) {
    for (ULONG64 Round = 0; Round < Rounds; Round++) {
        _ReadWriteBarrier();
    }
}

/* Before the clock is started: a pause in between then makes the measurement too long, not too short. */
static VOID Begin(MEASUREMENT *Measurement) {
    HalpWriteApic(APIC_TIMER_INITIAL, LONGEST_COUNT);
    Measurement->Tsc = HalReadTsc();
}

static VOID End(MEASUREMENT *Measurement) {
    Measurement->Tsc = HalReadTsc() - Measurement->Tsc;
    Measurement->ApicTicks = LONGEST_COUNT - HalpReadApic(APIC_TIMER_CURRENT);
}

/* The count starts when its high byte is written. Returns the number of polls. */
static ULONG RunPit(MEASUREMENT *Measurement) {
    USHORT Count = PIT_HZ / MEASURE_HZ;
    HalOut8(PORT_61, (UCHAR)((HalIn8(PORT_61) & ~PORT_61_SPEAKER) | PORT_61_GATE_2));
    HalOut8(PIT_COMMAND, PIT_CHANNEL_2_MODE_0);
    HalOut8(PIT_CHANNEL_2, (UCHAR)Count);
    Begin(Measurement);
    HalOut8(PIT_CHANNEL_2, (UCHAR)(Count >> 8));
    ULONG Polls = 0;
    while (!(HalIn8(PORT_61) & PORT_61_OUT_2) && Polls < MAXIMUM_POLLS) {
        Spin(BETWEEN_POLLS);
        Polls++;
    }
    End(Measurement);
    return Polls;
}

/* FALSE: the counter does not count. OUT high at the first look means a pause of the whole count, or no device at port
 * 0x61. */
static BOOLEAN MeasureByPit(MEASUREMENT *Measurement) {
    ULONG Polls = 0;
    for (ULONG i = 0; i < PIT_ATTEMPTS && Polls == 0; i++) {
        Polls = RunPit(Measurement);
    }
    return Polls > 0 && Polls < MAXIMUM_POLLS;
}

static BOOLEAN MeasureByPmTimer(MEASUREMENT *Measurement) {
    ULONG Mask = HalpMachine.IsPmTimer32 ? 0xFFFFFFFF : 0xFFFFFF;
    ULONG Polls = 0;
    if (HalpMachine.PmTimerPort == 0) {
        return FALSE;
    }
    Begin(Measurement);
    ULONG Start = HalIn32(HalpMachine.PmTimerPort);
    while (((HalIn32(HalpMachine.PmTimerPort) - Start) & Mask) < PM_TIMER_HZ / MEASURE_HZ && Polls < MAXIMUM_POLLS) {
        Spin(BETWEEN_POLLS);
        Polls++;
    }
    End(Measurement);
    return Polls < MAXIMUM_POLLS;
}

static BOOLEAN Agree(ULONG64 One, ULONG64 Other) {
    return (One > Other ? One - Other : Other - One) < Other / AGREEMENT;
}

/* Counter by counter: a delay in reading one need not delay the other. On a host that is never quiet, the shortest of
 * many measurements has to do. */
static BOOLEAN MeasureShortest(BOOLEAN (*Measure)(MEASUREMENT *), MEASUREMENT *Shortest) {
    BOOLEAN IsConfirmed = FALSE;
    if (!Measure(Shortest)) {
        return FALSE;
    }
    for (ULONG i = 1; i < MAXIMUM_MEASUREMENTS && !IsConfirmed; i++) {
        MEASUREMENT Next;
        if (!Measure(&Next)) {
            return FALSE;
        }
        IsConfirmed = Agree(Next.Tsc, Shortest->Tsc) && Agree(Next.ApicTicks, Shortest->ApicTicks);
        Shortest->Tsc = min(Shortest->Tsc, Next.Tsc);
        Shortest->ApicTicks = min(Shortest->ApicTicks, Next.ApicTicks);
    }
    return TRUE;
}

/* Boot CPU, IF = 0, local APIC enabled. */
VOID HalpCalibrateTimers(VOID) {
    MEASUREMENT Shortest;
    HalpWriteApic(APIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
    HalpWriteApic(APIC_LVT_TIMER, LVT_MASKED);
    if (!MeasureShortest(MeasureByPit, &Shortest) && !MeasureShortest(MeasureByPmTimer, &Shortest)) {
        KeBugCheckEx(HAL_INITIALIZATION_FAILED, 2, 0, 0, 0);
    }
    HalpWriteApic(APIC_TIMER_INITIAL, 0);
    HalFeatures.TscHz = Shortest.Tsc * MEASURE_HZ;
    HalpApicTimerHz = (ULONG64)Shortest.ApicTicks * MEASURE_HZ;
    if (HalpApicTimerHz == 0) {
        KeBugCheckEx(HAL_INITIALIZATION_FAILED, 3, 0, 0, 0);
    }
}

/* Any IRQL. Before the calibration: writes to the POST port, about 1 us each on any machine.
 *
 * The loop is its own measure: it looks at the counter after 1, 2, 4, ... rounds, and from half-way on after as many as
 * the rest should take. Where QEMU counts instructions, a look, and even more a `pause`, costs its host as much as a
 * thousand of them. */
VOID HalStall(ULONG MicroSeconds) {
    if (HalFeatures.TscHz == 0) {
        for (ULONG i = 0; i < MicroSeconds; i++) {
            HalOut8(0x80, 0);
        }
        return;
    }
    ULONG64 Start = HalReadTsc(), Ticks = HalFeatures.TscHz * MicroSeconds / 1000000, Rounds = 1, Passed;
    while ((Passed = HalReadTsc() - Start) < Ticks) {
        ULONG64 Rest = 2 * Passed < Ticks ? Rounds : Rounds * (Ticks - Passed) / Passed;
        Spin(Rest);
        Rounds += Rest;
        YieldProcessor();
    }
}

/* clock.c: time: 64 ticks a second on every CPU, each worth 15.625 ms, and all that a tick does.
 *
 * CPU 0 carries the time; the others only their own accounting. A tick arrives at CLOCK_LEVEL, above everything that
 * takes the dispatcher lock (scheduler.c), so it never touches a thread's state or a timer: it counts, leaves a DPC or
 * a flag, and asks for the DISPATCH interrupt. */
#include <arch.h>
#include <ke.h>

VOID (*KiClockHook)(PKTRAP_FRAME Frame); /* watchdog.c */

volatile ULONG64 KiInterruptTime;
volatile ULONG64 KiTickCount;
ULONG64 KiBootTime; /* the system time at interrupt time 0 */
ULONG64 KiUptimeSeconds;
volatile ULONG64 KiTickTsc; /* at the last tick */

static VOID AdvanceTime(VOID) {
    KiTickCount++;
    KiTickTsc = HalReadTsc();
    KiInterruptTime += TIME_INCREMENT;
    if (KiInterruptTime >= KiNextTimerDue) {
        KeInsertQueueDpc(&KiTimerExpireDpc, NULL, NULL);
    }
}

/* Charges the tick to what was interrupted. */
static VOID AccountTick(PKPRCB Prcb, KIRQL Irql) {
    Prcb->ClockTicks++;
    if (Prcb->DpcRoutineActive || Irql >= DISPATCH_LEVEL) {
        Prcb->DpcTicks++;
    } else if (Prcb->CurrentThread == Prcb->IdleThread) {
        Prcb->IdleTicks++;
    } else {
        Prcb->KernelTicks++;
    }
}

VOID KeUpdateSystemTime(PKTRAP_FRAME Frame) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    if (Prcb->Number == 0) {
        AdvanceTime();
    }
    AccountTick(Prcb, (KIRQL)Frame->PreviousIrql);
    if (KiClockHook != NULL) {
        KiClockHook(Frame);
    }
    PKTHREAD Thread = Prcb->CurrentThread;
    Thread->KernelTime++;
    if (Thread != Prcb->IdleThread && --Thread->Quantum <= 0) {
        Prcb->QuantumEnd = TRUE;
    }
    if (Prcb->QuantumEnd || Prcb->DpcData.DpcQueueDepth != 0) {
        HalRequestSoftwareInterrupt(DISPATCH_LEVEL);
    }
}

/* Any IRQL, like all queries below. Ticks since the start. wdm.h: KeQueryTickCount. */
VOID KeQueryTickCount(PLARGE_INTEGER TickCount) {
    TickCount->QuadPart = (LONGLONG)KiTickCount;
}

ULONG KeQueryTimeIncrement(VOID) {
    return TIME_INCREMENT;
}

ULONGLONG KeQueryInterruptTime(VOID) {
    return KiInterruptTime;
}

/* 100 ns units since 1 January 1601. wdm.h: KeQuerySystemTime. */
VOID KeQuerySystemTime(PLARGE_INTEGER CurrentTime) {
    CurrentTime->QuadPart = (LONGLONG)(KiBootTime + KiInterruptTime);
}

/* The time-stamp counter, as if it had counted all the uptime: under QEMU's -icount it counts executed instructions.
 * wdm.h: KeQueryPerformanceCounter. */
LARGE_INTEGER KeQueryPerformanceCounter(PLARGE_INTEGER Frequency) {
    LARGE_INTEGER Now = {.QuadPart = (LONGLONG)(HalReadTsc() + KiUptimeSeconds * HalFeatures.TscHz)};
    if (Frequency) {
        Frequency->QuadPart = (LONGLONG)HalFeatures.TscHz;
    }
    return Now;
}

VOID KeStallExecutionProcessor(ULONG MicroSeconds) {
    HalStall(MicroSeconds);
}

/* Boot CPU, before the clock ticks. uptime=SECONDS on the command line: the machine claims that uptime already. */
VOID KiInitializeClock(VOID) {
    KiUptimeSeconds = KeGetBootOptionNumber("uptime", 0);
    KiTickCount = KiUptimeSeconds * CLOCK_HZ;
    KiInterruptTime = KiTickCount * TIME_INCREMENT;
    KiBootTime = 0 - KiInterruptTime; /* 1601, until something knows the date */
}

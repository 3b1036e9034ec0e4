/* precisetime.c: the time between two ticks, by the time-stamp counter. */
#include "ki.h"

/* The interrupt time plus the time since the last tick, but less than a tick: it does not run ahead of the clock. The
 * two words belong to one tick if the time is the same before and after. */
static ULONG64 ComputeTime(VOID) {
    ULONG64 Ticks, Since;
    do {
        Ticks = __atomic_load_n(&KiInterruptTime, __ATOMIC_ACQUIRE);
        Since = HalReadTsc() - __atomic_load_n(&KiTickTsc, __ATOMIC_ACQUIRE);
    } while (Ticks != __atomic_load_n(&KiInterruptTime, __ATOMIC_ACQUIRE));
    ULONG64 PerTick = HalFeatures.TscHz / CLOCK_HZ;
    return Ticks + (Since < PerTick ? Since * TIME_INCREMENT / PerTick : TIME_INCREMENT - 1);
}

/* Never goes back: the later of this call's time and an earlier call's answer. */
ULONG64 KeQueryInterruptTimePrecise(PULONG64 QpcTimeStamp) {
    static volatile ULONG64 Last;
    ULONG64 Now = ComputeTime(), Seen = Last;
    if (QpcTimeStamp != NULL) {
        *QpcTimeStamp = (ULONG64)KeQueryPerformanceCounter(NULL).QuadPart;
    }
    while (Now > Seen && !__atomic_compare_exchange_n(&Last, &Seen, Now, FALSE, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return Now > Seen ? Now : Seen;
}

/* wdm.h: KeQuerySystemTimePrecise. */
VOID KeQuerySystemTimePrecise(PLARGE_INTEGER CurrentTime) {
    CurrentTime->QuadPart = (LONGLONG)(KiBootTime + KeQueryInterruptTimePrecise(NULL));
}

/* The interrupt time without the machine's sleep: it never sleeps. wdm.h: KeQueryUnbiasedInterruptTime. */
ULONGLONG KeQueryUnbiasedInterruptTime(VOID) {
    return KiInterruptTime;
}

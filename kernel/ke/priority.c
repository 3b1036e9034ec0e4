/* priority.c: a thread's priority and run time, set and queried by drivers. */
#include "ki.h"

/* Sets the priority that the thread runs at and that boosts wear off to, 1..31. Returns the old one, boost included.
 * It may preempt or be preempted at once. PASSIVE_LEVEL. wdm.h: KeSetPriorityThread. */
KPRIORITY KeSetPriorityThread(PKTHREAD Thread, KPRIORITY Priority) {
    NT_ASSERT(Priority > LOW_PRIORITY && Priority <= HIGH_PRIORITY);
    KIRQL OldIrql = KiLockDispatcher();
    KPRIORITY Old = Thread->Priority;
    Thread->BasePriority = (SCHAR)Priority;
    Thread->PriorityDecrement = 0;
    Thread->Quantum = THREAD_QUANTUM;
    KiSetThreadPriority(Thread, Priority);
    KiUnlockDispatcher(OldIrql);
    return Old;
}

/* The base of system threads' priorities, which increments are relative to. */
#define PROCESS_BASE_PRIORITY 8

/* Sets the base priority to that of the process plus Increment, and returns the old increment. A thread does not leave
 * its class this way (1..15, 16..31); -16 and 16 stand for the class's ends. A boost is over. PASSIVE_LEVEL.
 * ntifs.h: KeSetBasePriorityThread. */
LONG KeSetBasePriorityThread(PKTHREAD Thread, LONG Increment) {
    KIRQL OldIrql = KiLockDispatcher();
    LONG Old = Thread->BasePriority - PROCESS_BASE_PRIORITY;
    BOOLEAN IsRealTime = Thread->BasePriority >= LOW_REALTIME_PRIORITY;
    KPRIORITY Lowest = IsRealTime ? LOW_REALTIME_PRIORITY : LOW_PRIORITY + 1;
    KPRIORITY Highest = IsRealTime ? HIGH_PRIORITY : LOW_REALTIME_PRIORITY - 1;
    KPRIORITY Base = (IsRealTime ? LOW_REALTIME_PRIORITY + PROCESS_BASE_PRIORITY : PROCESS_BASE_PRIORITY) + Increment;
    Base = Base < Lowest ? Lowest : Base > Highest ? Highest : Base;
    Thread->BasePriority = (SCHAR)Base;
    Thread->PriorityDecrement = 0;
    Thread->Quantum = THREAD_QUANTUM;
    KiSetThreadPriority(Thread, Base);
    KiUnlockDispatcher(OldIrql);
    return Old;
}

/* The clock ticks that found the thread running; those of user mode, of which there are none, in *UserTime. Any IRQL.
 * ntifs.h: KeQueryRuntimeThread. */
ULONG KeQueryRuntimeThread(PKTHREAD Thread, PULONG UserTime) {
    *UserTime = 0;
    return Thread->KernelTime;
}

/* Any IRQL; a snapshot. */
KPRIORITY KeQueryPriorityThread(PKTHREAD Thread) {
    return Thread->Priority;
}

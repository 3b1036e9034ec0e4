/* ki.h: what the files of ke/ know of each other and nobody else does. */
#ifndef _KI_H_
#define _KI_H_

#include <arch.h>

#define THREAD_QUANTUM 2          /* clock ticks */
#define IDLE_PRIORITY (-1)        /* below every thread */
#define TIMER_WAIT_BLOCK THREAD_WAIT_OBJECTS /* the built-in wait block that belongs to the thread's own timer */

/* ---- The dispatcher lock (theory: scheduler.c) ---- */

/* Raises to DISPATCH_LEVEL and takes the lock. Returns the old IRQL; <= DISPATCH_LEVEL. */
FORCEINLINE KIRQL KiLockDispatcher(VOID) {
    return KeAcquireSpinLockRaiseToDpc(&KiDispatcherLock);
}
/* The other way out of the lock: switches first if a more important thread is to run here. (scheduler.c) */
VOID KiUnlockDispatcher(KIRQL OldIrql);

/* ---- scheduler.c: all called at DISPATCH_LEVEL with the dispatcher lock held ---- */
extern KAFFINITY KiIdleSummary;                   /* CPUs that run their idle thread and have no NextThread */
VOID KiReadyThread(PKTHREAD Thread);              /* puts a thread that has no place yet on a CPU or in a queue */
VOID KiBlockThread(VOID);                         /* the current thread's new State is set: runs another one */
VOID KiSetThreadPriority(PKTHREAD Thread, KPRIORITY Priority);
VOID KiMoveThread(PKTHREAD Thread);               /* its affinity has changed */
VOID KiInitializeIdleThread(PKPRCB Prcb, PKTHREAD Thread, ULONG64 StackBase, ULONG64 StackLimit);

/* ---- wait.c: dispatcher lock held ---- */
VOID KiSignalWaiters(DISPATCHER_HEADER *Object, KPRIORITY Increment);
/* Releases one waiting thread from all the objects it waits for; its wait returns Status. */
VOID KiUnwaitThread(PKTHREAD Thread, NTSTATUS Status, KPRIORITY Increment);
/* Leaves the lock, or (Wait) keeps it for the KeWait... call that must follow. */
VOID KiLeaveSignal(KIRQL OldIrql, BOOLEAN Wait);

/* ---- timer.c: dispatcher lock held ---- */
VOID KiInsertTimer(PKTIMER Timer, ULONG64 DueTime); /* interrupt time */
VOID KiRemoveTimer(PKTIMER Timer);                  /* it is inserted */
/* A time-out as callers write it (negative: relative; else absolute system time) as an interrupt time. Any IRQL. */
ULONG64 KiDueTime(LONGLONG Timeout);

/* ---- mutex.c: dispatcher lock held ---- */
VOID KiTakeMutant(PKMUTANT Mutant, PKTHREAD Thread); /* SignalState has just become 0 */

/* ---- thread.c ---- */
DECLSPEC_NORETURN VOID KiStartThread(PKTHREAD Thread); /* first C code of a thread; the dispatcher lock is held */

#endif

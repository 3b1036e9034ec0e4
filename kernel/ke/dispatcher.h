/* dispatcher.h: the dispatcher lock and the calls under it: all that the code of a waitable object needs. */
#ifndef _DISPATCHER_H_
#define _DISPATCHER_H_

#include <spinlock.h>

#define THREAD_QUANTUM 2                     /* clock ticks */
#define IDLE_PRIORITY (-1)                   /* below every thread */
#define TIMER_WAIT_BLOCK THREAD_WAIT_OBJECTS /* the built-in wait block that belongs to the thread's own timer */

/* ---- The dispatcher lock (theory: scheduler.c) ---- */
/* Raises to DISPATCH_LEVEL and takes the lock. Returns the old IRQL. <= DISPATCH_LEVEL. */
static FORCEINLINE KIRQL KiLockDispatcher(VOID) {
    NT_ASSERT(KiCurrentIrql() <= DISPATCH_LEVEL);
    return KeAcquireSpinLockRaiseToDpc(&KiDispatcherLock);
}
VOID KiUnlockDispatcher(KIRQL OldIrql); /* switches first if a more important thread has become ready for this CPU */

/* ---- scheduler.c: at DISPATCH_LEVEL with the dispatcher lock held ---- */
extern KAFFINITY KiIdleSummary; /* CPUs that run their idle thread and have no NextThread */
VOID KiReadyThread(PKTHREAD Thread);
VOID KiBlockThread(VOID); /* the current thread's new State is set: runs another one */
VOID KiEndTurn(VOID);     /* the current thread gives way to the next of its priority */
VOID KiSetThreadPriority(PKTHREAD Thread, KPRIORITY Priority);

/* ---- wait.c: dispatcher lock held ---- */
VOID KiSignalWaiters(DISPATCHER_HEADER *Object, KPRIORITY Increment);
VOID KiInterruptWait(PKTHREAD Thread);
VOID KiLeaveSignal(KIRQL OldIrql, BOOLEAN Wait);

#endif

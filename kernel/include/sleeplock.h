/* sleeplock.h: locks that threads sleep on: the one a thread waits for, and those it holds. */
#ifndef _SLEEPLOCK_H_
#define _SLEEPLOCK_H_

#include <thread.h>

/* ---- Locks that threads sleep on: their holders and waiters (ke/autoboost.c, ke/lockwait.c) ---- */
typedef enum _KLOCK_KIND {
    LockNone,
    LockFastMutex,
    LockGuardedMutex,
    LockResourceShared,
    LockResourceExclusive,
    LockPushShared,
    LockPushExclusive,
    LockRundown
} KLOCK_KIND;

/* ---- Locks that threads sleep on ---- */
/* A lock's slow path calls these before and after its wait; the wait below may have a time-out, the lock has none. For
 * the current thread; <= APC_LEVEL. */
VOID KeBeginLockWait(PVOID Lock, KLOCK_KIND Kind);
VOID KeEndLockWait(VOID);
/* Waits for Object on behalf of a lock, with the bookkeeping around it. STATUS_SUCCESS or STATUS_TIMEOUT. <= APC_LEVEL */
NTSTATUS KeWaitForLock(PVOID Lock, KLOCK_KIND Kind, PVOID Object, KWAIT_REASON Reason, PLARGE_INTEGER Timeout);
BOOLEAN KeBoostLockOwner(PKTHREAD Owner, KPRIORITY Priority,
                         LONG IoBoost); /* FALSE: no such thread. <= DISPATCH_LEVEL */

/* ---- AutoBoost: the locks that a thread holds (ke/autoboost.c). In the owner's thread, <= APC_LEVEL ---- */
VOID KeAbAcquired(PVOID Lock);                                 /* enters it */
VOID KeAbReleased(PVOID Lock);                                 /* takes it out; 0x162 if it is not there */
DECLSPEC_NORETURN VOID KeAbRefuseIrql(PVOID Lock, ULONG Irql); /* 0x192 */

#endif

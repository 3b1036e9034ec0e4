/* lockwait.c: the locks that a thread holds, and the one that it sleeps on, noted in the thread.
 *
 * A fast mutex waits on an event, a resource on an event with a time-out in a loop; the wait alone would not show the
 * lock. So each lock's slow path names the lock in the thread. */
#include "ki.h"

#define NO_SESSION 0xFFFFFFFF

/* ---- Locks held (theory: autoboost.c) ---- */

/* See ki.h. */
PKLOCK_ENTRY KiFindLockEntry(PKTHREAD Thread, PVOID Lock) {
    for (ULONG i = 0; i < MAXIMUM_LOCK_ENTRIES; i++) {
        if (Thread->LockEntries[i].Lock == Lock) {
            return &Thread->LockEntries[i];
        }
    }
    return NULL;
}

/* The current thread holds Lock from now on. <= APC_LEVEL. ke/fastmutex.c does the same for the first entry. */
VOID KeAbAcquired(PVOID Lock) {
    PKTHREAD Thread = KiCurrentThread();
    PKLOCK_ENTRY Entry = KiFindLockEntry(Thread, NULL);
    if (Entry == NULL) {
        Thread->UntrackedLocks++;
        return;
    }
    Entry->Lock = Lock;
}

/* The current thread is about to release Lock. <= APC_LEVEL. KERNEL_AUTO_BOOST_INVALID_LOCK_RELEASE if it does not hold
 * it: (thread, lock, session, 0). */
VOID KeAbReleased(PVOID Lock) {
    PKTHREAD Thread = KiCurrentThread();
    PKLOCK_ENTRY Entry = KiFindLockEntry(Thread, Lock);
    if (Entry != NULL) {
        Entry->Lock = NULL;
    } else if (Thread->UntrackedLocks > 0) {
        Thread->UntrackedLocks--;
    } else {
        KeBugCheckEx(KERNEL_AUTO_BOOST_INVALID_LOCK_RELEASE, (ULONG_PTR)Thread, (ULONG_PTR)Lock, NO_SESSION, 0);
    }
}

/* Refuses to acquire a lock that threads sleep on at DISPATCH_LEVEL or above. (thread, lock, IRQL, 0). */
DECLSPEC_NORETURN VOID KeAbRefuseIrql(PVOID Lock, ULONG Irql) {
    KeBugCheckEx(KERNEL_AUTO_BOOST_LOCK_ACQUISITION_WITH_RAISED_IRQL, (ULONG_PTR)KiCurrentThread(), (ULONG_PTR)Lock,
                 Irql, 0);
}

/* ---- The lock slept on ---- */

/* Readers hold the dispatcher lock and must see lock and kind change together: they would look for an owner in the
 * wrong kind of lock. */
static VOID SetBlockingLock(PVOID Lock, KLOCK_KIND Kind, ULONG64 Since) {
    PKTHREAD Thread = KiCurrentThread();
    KIRQL OldIrql = KiLockDispatcher();
    Thread->BlockingKind = (UCHAR)Kind;
    Thread->BlockingTime = Since;
    Thread->BlockingLock = Lock;
    KiUnlockDispatcher(OldIrql);
}

VOID KeBeginLockWait(PVOID Lock, KLOCK_KIND Kind) {
    SetBlockingLock(Lock, Kind, KiTickCount);
}

VOID KeEndLockWait(VOID) {
    SetBlockingLock(NULL, LockNone, 0);
}

/* An APC that runs inside a wait at PASSIVE_LEVEL may wait for another lock: then the outer wait is restored. */
NTSTATUS KeWaitForLock(PVOID Lock, KLOCK_KIND Kind, PVOID Object, KWAIT_REASON Reason, PLARGE_INTEGER Timeout) {
    PKTHREAD Thread = KiCurrentThread();
    PVOID OuterLock = Thread->BlockingLock;
    KLOCK_KIND OuterKind = Thread->BlockingKind;
    ULONG64 OuterSince = Thread->BlockingTime;
    SetBlockingLock(Lock, Kind, OuterLock == Lock ? OuterSince : KiTickCount); /* a wait in pieces has begun before */
    NTSTATUS Status = KeWaitForSingleObject(Object, Reason, KernelMode, FALSE, Timeout);
    SetBlockingLock(OuterLock, OuterKind, OuterSince);
    return Status;
}

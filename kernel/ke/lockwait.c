/* lockwait.c: the lock that a thread sleeps on, noted so that a deadlock can be told from idle waiting.
 *
 * A fast mutex waits on an event, a resource on an event with a time-out in a loop; from the wait alone nobody could tell
 * what for. So each lock's slow path names the lock in the thread. */
#include "ki.h"

/* Whoever explains holds the dispatcher lock, and must not take the one lock for the other's kind: it would look for an
 * owner where there is none. */
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

/* An APC that runs inside a wait at PASSIVE_LEVEL may wait for another lock: the outer wait is what is left then. */
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

PCSTR KeLockKindName(KLOCK_KIND Kind) {
    static const PCSTR Names[] = {
        [LockNone] = "no lock",
        [LockFastMutex] = "fast mutex",
        [LockGuardedMutex] = "guarded mutex",
        [LockResourceShared] = "resource (shared)",
        [LockResourceExclusive] = "resource (exclusive)",
        [LockPushShared] = "push lock (shared)",
        [LockPushExclusive] = "push lock (exclusive)",
        [LockRundown] = "rundown protection",
    };
    return (ULONG)Kind < RTL_NUMBER_OF(Names) ? Names[Kind] : "unknown lock";
}

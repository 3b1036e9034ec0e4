/* test_pushlock.c: push locks, and the lock entries of the holders of push locks, fast mutexes and guarded mutexes. */
#include "ktest.h"
#include <inspect.h>

/* ---- Push locks ---- */

static EX_PUSH_LOCK Lock;

KTEST(pushlock_word_says_how_it_is_owned) {
    KeEnterCriticalRegion();
    ExInitializePushLock(&Lock);
    ExAcquirePushLockExclusive(&Lock);
    KT_EXPECT_EQ(Lock, 1);
    KT_EXPECT_EQ(KeGetCurrentThread()->LockEntries[0].Lock, &Lock);
    KT_EXPECT(!ExTryAcquirePushLockShared(&Lock));
    ExReleasePushLockExclusive(&Lock);
    KT_EXPECT_EQ(Lock, 0);
    ExAcquirePushLockShared(&Lock);
    ExAcquirePushLockShared(&Lock);
    KT_EXPECT_EQ(Lock, 0x21);
    KT_EXPECT(!ExTryAcquirePushLockExclusive(&Lock));
    ExReleasePushLockShared(&Lock);
    KT_EXPECT_EQ(Lock, 0x11);
    ExReleasePushLock(&Lock);
    KT_EXPECT_EQ(Lock, 0);
    KT_EXPECT(ExTryAcquirePushLockExclusive(&Lock));
    ExReleasePushLock(&Lock);
    KT_EXPECT_EQ(Lock, 0);
    KT_EXPECT_EQ(KeGetCurrentThread()->LockEntries[0].Lock, NULL);
    KeLeaveCriticalRegion();
}

typedef struct _WAITER {
    KT_THREAD Thread;
    BOOLEAN IsExclusive;
    volatile BOOLEAN IsIn;
    KEVENT Leave;
} WAITER;

static VOID Use(PVOID Context) {
    WAITER *Waiter = Context;
    KeEnterCriticalRegion();
    if (Waiter->IsExclusive) {
        ExAcquirePushLockExclusive(&Lock);
    } else {
        ExAcquirePushLockShared(&Lock);
    }
    Waiter->IsIn = TRUE;
    KeWaitForSingleObject(&Waiter->Leave, Executive, KernelMode, FALSE, NULL);
    if (Waiter->IsExclusive) {
        ExReleasePushLockExclusive(&Lock);
    } else {
        ExReleasePushLockShared(&Lock);
    }
    KeLeaveCriticalRegion();
}

static VOID Start(WAITER *Waiter, BOOLEAN IsExclusive) {
    Waiter->IsExclusive = IsExclusive;
    Waiter->IsIn = FALSE;
    KeInitializeEvent(&Waiter->Leave, NotificationEvent, FALSE);
    KtCreateThread(&Waiter->Thread, "user", 8, KT_ANY_PROCESSOR, Use, Waiter);
}

static VOID End(WAITER *Waiter) {
    KeSetEvent(&Waiter->Leave, IO_NO_INCREMENT, FALSE);
    KtJoin(&Waiter->Thread);
}

static BOOLEAN Sleeps(WAITER *Waiter, KLOCK_KIND Kind) {
    PKTHREAD Thread = &Waiter->Thread.Thread->Tcb;
    return Thread->State == Waiting && Thread->WaitReason == WrPushLock && Thread->BlockingLock == &Lock &&
           Thread->BlockingKind == Kind;
}

KTEST(pushlock_waiters_come_in_when_the_last_reader_leaves) {
    static WAITER Reader[2], Writer, Late;
    Lock = 0;
    Start(&Reader[0], FALSE);
    Start(&Reader[1], FALSE);
    KT_WAIT_UNTIL(Reader[0].IsIn && Reader[1].IsIn);
    KT_EXPECT_EQ(Lock, 0x21);
    Start(&Writer, TRUE);
    KT_WAIT_UNTIL(Sleeps(&Writer, LockPushExclusive));
    KT_EXPECT_EQ(Lock & 15, 1 | 2 | 8); /* locked, waiting, multiple shared */
    Start(&Late, FALSE);
    KT_WAIT_UNTIL(Sleeps(&Late, LockPushShared)); /* no reader passes a waiting writer */
    End(&Reader[0]);
    KT_EXPECT(!Writer.IsIn);
    End(&Reader[1]);
    KT_WAIT_UNTIL(Writer.IsIn); /* the older one */
    KT_EXPECT(!Late.IsIn);
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&KiDispatcherLock);
    PKTHREAD Owner = ExQueryLockOwner(&Lock, LockPushShared);
    KeReleaseSpinLock(&KiDispatcherLock, OldIrql);
    KT_EXPECT_EQ(Owner, &Writer.Thread.Thread->Tcb);
    End(&Writer);
    KT_WAIT_UNTIL(Late.IsIn);
    End(&Late);
    KT_EXPECT_EQ(Lock, 0);
}

static volatile LONG Readers, Writers;
static volatile ULONG Total, Writes;

static VOID Write(KT_RANDOM *Random) {
    KT_EXPECT_EQ(InterlockedIncrement(&Writers), 1);
    KT_EXPECT_EQ(Readers, 0);
    ULONG Seen = Total;
    if (KtRandom(Random, 4) == 0) {
        KeYieldThread();
    }
    Total = Seen + 1;
    InterlockedIncrement((volatile LONG *)&Writes);
    InterlockedDecrement(&Writers);
    ExReleasePushLockExclusive(&Lock);
}

static VOID Read(KT_RANDOM *Random) {
    InterlockedIncrement(&Readers);
    KT_EXPECT_EQ(Writers, 0);
    if (KtRandom(Random, 4) == 0) {
        KeYieldThread();
    }
    InterlockedDecrement(&Readers);
    ExReleasePushLockShared(&Lock);
}

static VOID ReadOrWrite(PVOID Context) {
    KT_RANDOM Random;
    KtSeedRandom(&Random, (ULONG64)Context);
    KeEnterCriticalRegion();
    for (ULONG i = 0; i < KtStress(2000); i++) {
        switch (KtRandom(&Random, 6)) {
        case 0:
            if (ExTryAcquirePushLockExclusive(&Lock)) {
                Write(&Random);
            }
            break;
        case 1:
            if (ExTryAcquirePushLockShared(&Lock)) {
                Read(&Random);
            }
            break;
        case 2:
        case 3:
            ExAcquirePushLockExclusive(&Lock);
            Write(&Random);
            break;
        default:
            ExAcquirePushLockShared(&Lock);
            Read(&Random);
        }
    }
    KeLeaveCriticalRegion();
}

KTEST(pushlock_keeps_writers_apart_from_everybody) {
    static KT_THREAD Thread[8];
    Lock = 0;
    Readers = Writers = 0;
    Total = Writes = 0;
    for (ULONG64 i = 0; i < 8; i++) {
        KT_REQUIRE(KtCreateThread(&Thread[i], "user", (KPRIORITY)(7 + i % 3), KT_ANY_PROCESSOR, ReadOrWrite, (PVOID)i));
    }
    for (ULONG i = 0; i < 8; i++) {
        KtJoin(&Thread[i]);
    }
    KT_EXPECT_EQ(Total, Writes);
    KT_EXPECT_EQ(Lock, 0);
}

/* ---- Guarded mutexes ---- */

KTEST(guardedmutex_raises_to_APC_and_goes_back) {
    KGUARDED_MUTEX Mutex;
    KeInitializeGuardedMutex(&Mutex);
    KeAcquireGuardedMutex(&Mutex);
    KT_EXPECT_EQ(KeGetCurrentIrql(), APC_LEVEL);
    KT_EXPECT_EQ(Mutex.Owner, KeGetCurrentThread());
    KT_EXPECT(!KeTryToAcquireGuardedMutex(&Mutex));
    KeReleaseGuardedMutex(&Mutex);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
    KT_EXPECT(KeTryToAcquireGuardedMutex(&Mutex));
    KeReleaseGuardedMutex(&Mutex);
    KeEnterGuardedRegion();
    KeAcquireGuardedMutexUnsafe(&Mutex);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
    KeReleaseGuardedMutexUnsafe(&Mutex);
    KeLeaveGuardedRegion();
    KT_EXPECT_EQ(Mutex.Count, 1);
}

static KGUARDED_MUTEX Guard;

static VOID TakeGuard(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeAcquireGuardedMutex(&Guard);
    KeReleaseGuardedMutex(&Guard);
}

KTEST(guardedmutex_waiter_says_what_it_waits_for) {
    static KT_THREAD Thread;
    KeInitializeGuardedMutex(&Guard);
    KeEnterGuardedRegion();
    KeAcquireGuardedMutexUnsafe(&Guard);
    KT_REQUIRE(KtCreateThread(&Thread, "waiter", 8, KT_ANY_PROCESSOR, TakeGuard, NULL));
    KT_WAIT_UNTIL(Thread.Thread->Tcb.State == Waiting && Thread.Thread->Tcb.BlockingLock == &Guard);
    KT_EXPECT_EQ(Thread.Thread->Tcb.BlockingKind, LockGuardedMutex);
    KT_EXPECT_EQ(Thread.Thread->Tcb.WaitReason, WrFastMutex);
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&KiDispatcherLock);
    PKTHREAD Owner = ExQueryLockOwner(&Guard, LockGuardedMutex);
    KeReleaseSpinLock(&KiDispatcherLock, OldIrql);
    KT_EXPECT_EQ(Owner, KeGetCurrentThread());
    KeReleaseGuardedMutexUnsafe(&Guard);
    KeLeaveGuardedRegion();
    KtJoin(&Thread);
    KT_EXPECT_EQ(Guard.Count, 1);
}

/* ---- Lock entries ---- */

KTEST(lockentry_six_locks_are_tracked_and_more_are_let_pass) {
    enum { COUNT = 8 };
    static FAST_MUTEX Mutex[COUNT];
    PKTHREAD Me = KeGetCurrentThread();
    for (ULONG i = 0; i < COUNT; i++) {
        ExInitializeFastMutex(&Mutex[i]);
        ExAcquireFastMutex(&Mutex[i]);
        if (i < MAXIMUM_LOCK_ENTRIES) {
            KT_EXPECT_EQ(Me->LockEntries[i].Lock, &Mutex[i]);
        }
    }
    KT_EXPECT_EQ(Me->UntrackedLocks, COUNT - MAXIMUM_LOCK_ENTRIES);
    for (ULONG i = COUNT; i-- > 0;) {
        ExReleaseFastMutex(&Mutex[i]);
        KT_EXPECT_EQ(Mutex[i].Count, 1);
    }
    KT_EXPECT_EQ(Me->UntrackedLocks, 0);
    for (ULONG i = 0; i < MAXIMUM_LOCK_ENTRIES; i++) {
        KT_EXPECT_EQ(Me->LockEntries[i].Lock, NULL);
    }
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

KTEST(lockentry_locks_may_be_released_in_any_order) {
    static FAST_MUTEX Mutex[3];
    for (ULONG i = 0; i < 3; i++) {
        ExInitializeFastMutex(&Mutex[i]);
    }
    KeEnterCriticalRegion();
    ExAcquireFastMutexUnsafe(&Mutex[0]);
    ExAcquireFastMutexUnsafe(&Mutex[1]);
    ExReleaseFastMutexUnsafe(&Mutex[0]);
    ExAcquireFastMutexUnsafe(&Mutex[2]);
    ExReleaseFastMutexUnsafe(&Mutex[1]);
    ExReleaseFastMutexUnsafe(&Mutex[2]);
    KeLeaveCriticalRegion();
    for (ULONG i = 0; i < 3; i++) {
        KT_EXPECT_EQ(Mutex[i].Count, 1);
        KT_EXPECT_EQ(KeGetCurrentThread()->LockEntries[i].Lock, NULL);
    }
}

/* ---- Stops of the machine ---- */

static FAST_MUTEX Fast;

KTEST_CRASH(fastmutex_released_without_being_owned) {
    ExInitializeFastMutex(&Fast);
    ExReleaseFastMutex(&Fast);
}

KTEST_CRASH(guardedmutex_released_without_being_owned) {
    KeInitializeGuardedMutex(&Guard);
    KeReleaseGuardedMutex(&Guard);
}

KTEST_CRASH(pushlock_released_without_being_owned) {
    Lock = 0;
    ExReleasePushLockExclusive(&Lock);
}

KTEST_CRASH(pushlock_at_DISPATCH) {
    Lock = 0;
    KeRaiseIrqlToDpcLevel();
    ExAcquirePushLockShared(&Lock);
}

KTEST_CRASH(guardedmutex_at_DISPATCH) {
    KeInitializeGuardedMutex(&Guard);
    KeRaiseIrqlToDpcLevel();
    KeAcquireGuardedMutex(&Guard);
}

KTEST_CRASH(pushlock_with_unknown_flags) {
    ExAcquirePushLockExclusiveEx(&Lock, 4);
}

static VOID KeepPushLock(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeEnterCriticalRegion();
    ExAcquirePushLockExclusive(&Lock);
    KeLeaveCriticalRegion();
}

static VOID KeepFastMutex(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    ExAcquireFastMutex(&Fast);
    KeLowerIrql(PASSIVE_LEVEL);
}

static VOID CrashByEnding(VOID (*Routine)(PVOID Context)) {
    static KT_THREAD Thread;
    Lock = 0;
    ExInitializeFastMutex(&Fast);
    KtCreateThread(&Thread, "keeper", 8, KT_ANY_PROCESSOR, Routine, NULL);
    KtJoin(&Thread);
    KtSleep(1000);
}

KTEST_CRASH(thread_ends_with_a_push_lock) {
    CrashByEnding(KeepPushLock);
}

KTEST_CRASH(thread_ends_with_a_fast_mutex) {
    CrashByEnding(KeepFastMutex);
}

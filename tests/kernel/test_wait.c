/* test_wait.c: waiting: for one object, for any, for all, for a time; and no wake-up is lost between threads. */
#include "ktest.h"

static LARGE_INTEGER Poll; /* 0 */

static LARGE_INTEGER Milliseconds(LONGLONG Ms) {
    return (LARGE_INTEGER){.QuadPart = -Ms * 10000};
}

/* ---- One thread ---- */

KTEST(wait_that_times_out_leaves_no_trace) {
    KEVENT Event;
    LARGE_INTEGER Timeout = Milliseconds(20);
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    ULONG64 Start = KeQueryInterruptTime();
    NTSTATUS Status = KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, &Timeout);
    KT_EXPECT_EQ(Status, STATUS_TIMEOUT);
    KT_EXPECT(KeQueryInterruptTime() - Start >= 200000);
    KT_EXPECT(IsListEmpty(&Event.Header.WaitListHead));
    KT_EXPECT(!KeGetCurrentThread()->Timer.Header.Inserted);
    KT_EXPECT_EQ(KeGetCurrentThread()->WaitBlockList, NULL);
}

KTEST(wait_until_a_system_time) {
    KEVENT Event;
    LARGE_INTEGER Due, Now;
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    KeQuerySystemTime(&Due);
    Due.QuadPart += 200000;
    KT_EXPECT_EQ(KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, &Due), STATUS_TIMEOUT);
    KeQuerySystemTime(&Now);
    KT_EXPECT(Now.QuadPart >= Due.QuadPart);
    Due.QuadPart = 1; /* in the year 1601 */
    KT_EXPECT_EQ(KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, &Due), STATUS_TIMEOUT);
}

KTEST(wait_may_be_a_sleep_after_Wait_TRUE) {
    KEVENT Event;
    LARGE_INTEGER Times[] = {Poll, Milliseconds(1)};
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    for (ULONG Index = 0; Index < 2; Index++) {
        KeSetEvent(&Event, IO_NO_INCREMENT, TRUE);
        KT_EXPECT_EQ(KeDelayExecutionThread(KernelMode, FALSE, &Times[Index]), STATUS_SUCCESS);
        KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
    }
}

KTEST(wait_for_any_takes_the_first_that_is_signalled) {
    KEVENT Event[3];
    PVOID Objects[3];
    for (ULONG i = 0; i < 3; i++) {
        KeInitializeEvent(&Event[i], SynchronizationEvent, i > 0);
        Objects[i] = &Event[i];
    }
    KT_EXPECT_EQ(KeWaitForMultipleObjects(3, Objects, WaitAny, Executive, KernelMode, FALSE, &Poll, NULL), 1);
    KT_EXPECT_EQ(KeReadStateEvent(&Event[1]), 0);
    KT_EXPECT_EQ(KeReadStateEvent(&Event[2]), 1);
    KT_EXPECT_EQ(KeWaitForMultipleObjects(3, Objects, WaitAny, Executive, KernelMode, FALSE, &Poll, NULL), 2);
    KT_EXPECT_EQ(KeWaitForMultipleObjects(3, Objects, WaitAny, Executive, KernelMode, FALSE, &Poll, NULL),
                 STATUS_TIMEOUT);
}

KTEST(wait_for_all_takes_nothing_until_it_can_take_all) {
    KEVENT Event;
    KSEMAPHORE Semaphore;
    KMUTEX Mutex;
    PVOID Objects[3] = {&Event, &Semaphore, &Mutex};
    LARGE_INTEGER Timeout = Milliseconds(20);
    KeInitializeEvent(&Event, SynchronizationEvent, TRUE);
    KeInitializeSemaphore(&Semaphore, 0, 10);
    KeInitializeMutex(&Mutex, 0);
    KT_EXPECT_EQ(KeWaitForMultipleObjects(3, Objects, WaitAll, Executive, KernelMode, FALSE, &Poll, NULL),
                 STATUS_TIMEOUT);
    KT_EXPECT_EQ(KeWaitForMultipleObjects(3, Objects, WaitAll, Executive, KernelMode, FALSE, &Timeout, NULL),
                 STATUS_TIMEOUT);
    KT_EXPECT_EQ(KeReadStateEvent(&Event), 1);
    KT_EXPECT_EQ(KeReadStateMutex(&Mutex), 1);
    KeReleaseSemaphore(&Semaphore, IO_NO_INCREMENT, 2, FALSE);
    KT_EXPECT_EQ(KeWaitForMultipleObjects(3, Objects, WaitAll, Executive, KernelMode, FALSE, &Timeout, NULL),
                 STATUS_SUCCESS);
    KT_EXPECT_EQ(KeReadStateEvent(&Event), 0);
    KT_EXPECT_EQ(KeReadStateSemaphore(&Semaphore), 1);
    KT_EXPECT_EQ(KeReleaseMutex(&Mutex, FALSE), 0);
}

KTEST_CRASH(wait_for_four_objects_without_blocks) {
    KEVENT Event;
    PVOID Objects[4] = {&Event, &Event, &Event, &Event};
    KeInitializeEvent(&Event, NotificationEvent, TRUE);
    KeWaitForMultipleObjects(4, Objects, WaitAny, Executive, KernelMode, FALSE, NULL, NULL);
}

KTEST_CRASH(wait_at_DISPATCH) {
    static KSPIN_LOCK Lock;
    static KEVENT Event;
    KIRQL OldIrql;
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    KeAcquireSpinLock(&Lock, &OldIrql);
    KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
    KeReleaseSpinLock(&Lock, OldIrql);
}

/* The checked build stops although both are signalled: the next time they may not be. */
KTEST_CRASH(wait_for_many_at_DISPATCH) {
    static KSPIN_LOCK Lock;
    static KEVENT Event[2];
    PVOID Objects[2] = {&Event[0], &Event[1]};
    KIRQL OldIrql;
    KeInitializeEvent(&Event[0], NotificationEvent, TRUE);
    KeInitializeEvent(&Event[1], NotificationEvent, TRUE);
    KeAcquireSpinLock(&Lock, &OldIrql);
    KeWaitForMultipleObjects(2, Objects, WaitAll, Executive, KernelMode, FALSE, NULL, NULL);
    KeReleaseSpinLock(&Lock, OldIrql);
}

static VOID WaitInDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    LARGE_INTEGER Timeout = Milliseconds(1);
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeWaitForSingleObject(Context, Executive, KernelMode, FALSE, &Timeout);
}

KTEST_CRASH(wait_in_a_dpc) {
    static KDPC Dpc;
    static KEVENT Event;
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    KeInitializeDpc(&Dpc, WaitInDpc, &Event);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    KtSleep(100);
}

/* ---- Two threads and more ---- */

typedef struct _ALL_WITH_LIMIT {
    KEVENT Event[2];
    volatile NTSTATUS Status;
} ALL_WITH_LIMIT;

static VOID WaitForAllWithLimit(PVOID Context) {
    ALL_WITH_LIMIT *This = Context;
    PVOID Objects[2] = {&This->Event[0], &This->Event[1]};
    LARGE_INTEGER Timeout = Milliseconds(1000);
    This->Status = KeWaitForMultipleObjects(2, Objects, WaitAll, Executive, KernelMode, FALSE, &Timeout, NULL);
}

/* The timer of the time-out is one more object of the wait, but not one of all. */
KTEST(wait_for_all_with_a_time_out_ends_before_it) {
    static ALL_WITH_LIMIT This;
    KT_THREAD Waiter;
    for (ULONG i = 0; i < 2; i++) {
        KeInitializeEvent(&This.Event[i], SynchronizationEvent, FALSE);
    }
    KT_REQUIRE(KtCreateThread(&Waiter, "waiter", 9, KT_ANY_PROCESSOR, WaitForAllWithLimit, &This));
    KT_WAIT_UNTIL(!IsListEmpty(&This.Event[1].Header.WaitListHead));
    for (ULONG i = 0; i < 2; i++) {
        KeSetEvent(&This.Event[i], IO_NO_INCREMENT, FALSE);
    }
    KtJoin(&Waiter);
    KT_EXPECT_EQ(This.Status, STATUS_SUCCESS);
}

typedef struct _WAITER {
    KT_THREAD Thread;
    ULONG Count;
    PVOID *Objects;
    WAIT_TYPE Type;
    KWAIT_BLOCK Blocks[MAXIMUM_WAIT_OBJECTS];
    volatile LONG Status;
    volatile BOOLEAN IsDone;
} WAITER;

static VOID WaitForObjects(PVOID Context) {
    WAITER *Waiter = Context;
    Waiter->Status = KeWaitForMultipleObjects(Waiter->Count, Waiter->Objects, Waiter->Type, Executive, KernelMode,
                                              FALSE, NULL, Waiter->Blocks);
    Waiter->IsDone = TRUE;
}

static BOOLEAN StartWaiter(WAITER *Waiter, ULONG Count, PVOID *Objects, WAIT_TYPE Type) {
    Waiter->Count = Count;
    Waiter->Objects = Objects;
    Waiter->Type = Type;
    Waiter->IsDone = FALSE;
    if (!KtCreateThread(&Waiter->Thread, "waiter", 8, KT_ANY_PROCESSOR, WaitForObjects, Waiter)) {
        return FALSE;
    }
    KT_WAIT_UNTIL(Waiter->Thread.Thread->Tcb.State == Waiting);
    return TRUE;
}

KTEST(wait_for_64_objects_is_ended_by_the_last) {
    static KEVENT Event[MAXIMUM_WAIT_OBJECTS];
    static PVOID Objects[MAXIMUM_WAIT_OBJECTS];
    static WAITER Any, All;
    for (ULONG i = 0; i < MAXIMUM_WAIT_OBJECTS; i++) {
        KeInitializeEvent(&Event[i], NotificationEvent, FALSE);
        Objects[i] = &Event[i];
    }
    KT_REQUIRE(StartWaiter(&Any, MAXIMUM_WAIT_OBJECTS, Objects, WaitAny));
    KeSetEvent(&Event[MAXIMUM_WAIT_OBJECTS - 1], IO_NO_INCREMENT, FALSE);
    KtJoin(&Any.Thread);
    KT_EXPECT_EQ(Any.Status, STATUS_WAIT_63);
    KeClearEvent(&Event[MAXIMUM_WAIT_OBJECTS - 1]);
    KT_REQUIRE(StartWaiter(&All, MAXIMUM_WAIT_OBJECTS, Objects, WaitAll));
    for (ULONG i = 0; i < MAXIMUM_WAIT_OBJECTS; i++) {
        KT_EXPECT(!All.IsDone);
        KeSetEvent(&Event[i], IO_NO_INCREMENT, FALSE);
    }
    KtJoin(&All.Thread);
    KT_EXPECT_EQ(All.Status, STATUS_SUCCESS);
    for (ULONG i = 0; i < MAXIMUM_WAIT_OBJECTS; i++) {
        KT_EXPECT(IsListEmpty(&Event[i].Header.WaitListHead));
    }
}

KTEST(wait_for_all_is_not_starved_by_and_does_not_rob_others) {
    static KEVENT First, Second;
    static PVOID Both[2] = {&First, &Second}, One[1] = {&First};
    static WAITER All, Single;
    KeInitializeEvent(&First, SynchronizationEvent, FALSE);
    KeInitializeEvent(&Second, SynchronizationEvent, FALSE);
    KT_REQUIRE(StartWaiter(&All, 2, Both, WaitAll));
    KT_REQUIRE(StartWaiter(&Single, 1, One, WaitAny));
    KeSetEvent(&First, IO_NO_INCREMENT, FALSE); /* passes by the one that wants both */
    KtJoin(&Single.Thread);
    KT_EXPECT(!All.IsDone);
    KeSetEvent(&Second, IO_NO_INCREMENT, FALSE);
    KT_EXPECT_EQ(KeReadStateEvent(&Second), 1);
    KeSetEvent(&First, IO_NO_INCREMENT, FALSE);
    KtJoin(&All.Thread);
    KT_EXPECT_EQ(KeReadStateEvent(&First) | KeReadStateEvent(&Second), 0);
}

KTEST(wait_ends_in_the_order_of_arrival) {
    static KSEMAPHORE Semaphore;
    static PVOID Objects[1] = {&Semaphore};
    static WAITER Waiter[4];
    KeInitializeSemaphore(&Semaphore, 0, 4);
    for (ULONG i = 0; i < 4; i++) {
        KT_REQUIRE(StartWaiter(&Waiter[i], 1, Objects, WaitAny));
    }
    for (ULONG i = 0; i < 4; i++) {
        KeReleaseSemaphore(&Semaphore, IO_NO_INCREMENT, 1, FALSE);
        KtJoin(&Waiter[i].Thread);
        for (ULONG Later = i + 1; Later < 4; Later++) {
            KT_EXPECT(!Waiter[Later].IsDone);
        }
    }
}

KTEST(wait_event_releases_one_or_all) {
    static KEVENT Event;
    static PVOID Objects[1] = {&Event};
    static WAITER Waiter[4];
    for (EVENT_TYPE Type = NotificationEvent; Type <= SynchronizationEvent; Type++) {
        KeInitializeEvent(&Event, Type, FALSE);
        for (ULONG i = 0; i < 4; i++) {
            KT_REQUIRE(StartWaiter(&Waiter[i], 1, Objects, WaitAny));
        }
        for (ULONG Sets = Type == NotificationEvent ? 1 : 4; Sets > 0; Sets--) {
            KT_EXPECT_EQ(KePulseEvent(&Event, IO_NO_INCREMENT, FALSE), 0);
        }
        for (ULONG i = 0; i < 4; i++) {
            KtJoin(&Waiter[i].Thread);
        }
        KT_EXPECT_EQ(KeReadStateEvent(&Event), 0);
    }
}

/* Two threads hand a token to and fro: a lost wake-up hangs them. */
typedef struct _RALLY {
    KEVENT Event[2];
    ULONG Rounds;
    volatile ULONG Hits;
} RALLY;

static VOID PlayFirst(PVOID Context) {
    RALLY *Rally = Context;
    for (ULONG i = 0; i < Rally->Rounds; i++) {
        Rally->Hits++;
        KeSetEvent(&Rally->Event[1], IO_NO_INCREMENT, FALSE);
        KeWaitForSingleObject(&Rally->Event[0], Executive, KernelMode, FALSE, NULL);
    }
}

static VOID PlaySecond(PVOID Context) {
    RALLY *Rally = Context;
    LARGE_INTEGER Long = Milliseconds(3600000);
    for (ULONG i = 0; i < Rally->Rounds; i++) {
        KT_EXPECT_EQ(KeWaitForSingleObject(&Rally->Event[1], Executive, KernelMode, FALSE, &Long), STATUS_SUCCESS);
        Rally->Hits++;
        KeSetEvent(&Rally->Event[0], EVENT_INCREMENT, FALSE);
    }
}

static VOID Play(ULONG FirstProcessor, ULONG SecondProcessor) {
    static RALLY Rally;
    KT_THREAD First, Second;
    Rally.Rounds = KtStress(2000);
    Rally.Hits = 0;
    KeInitializeEvent(&Rally.Event[0], SynchronizationEvent, FALSE);
    KeInitializeEvent(&Rally.Event[1], SynchronizationEvent, FALSE);
    KT_REQUIRE(KtCreateThread(&First, "first", 8, FirstProcessor, PlayFirst, &Rally));
    KT_REQUIRE(KtCreateThread(&Second, "second", 8, SecondProcessor, PlaySecond, &Rally));
    KtJoin(&First);
    KtJoin(&Second);
    KT_EXPECT_EQ(Rally.Hits, 2 * Rally.Rounds);
}

KTEST(wait_loses_no_wakeup_between_two_threads) {
    Play(KT_ANY_PROCESSOR, KT_ANY_PROCESSOR);
    Play(0, 0);
    Play(0, KeNumberProcessors - 1);
}

/* As many consumers and producers as CPUs on one semaphore: each permit is taken once. */
typedef struct _MARKET {
    KSEMAPHORE Goods;
    KEVENT Closed;
    volatile LONG Taken;
} MARKET;

static VOID Consume(PVOID Context) {
    MARKET *Market = Context;
    PVOID Objects[2] = {&Market->Goods, &Market->Closed};
    while (KeWaitForMultipleObjects(2, Objects, WaitAny, Executive, KernelMode, FALSE, NULL, NULL) == STATUS_WAIT_0) {
        InterlockedIncrement(&Market->Taken);
    }
}

static VOID Produce(ULONG Processor, PVOID Context) {
    MARKET *Market = Context;
    KT_RANDOM Random;
    KtSeedRandom(&Random, Processor);
    for (ULONG i = 0; i < KtStress(1000); i++) {
        KeReleaseSemaphore(&Market->Goods, (KPRIORITY)KtRandom(&Random, 3), 1, FALSE);
    }
}

KTEST(wait_takes_each_permit_once) {
    static MARKET Market;
    static KT_THREAD Consumer[8];
    KeInitializeSemaphore(&Market.Goods, 0, MAXLONG);
    KeInitializeEvent(&Market.Closed, NotificationEvent, FALSE);
    Market.Taken = 0;
    for (ULONG i = 0; i < 8; i++) {
        KT_REQUIRE(KtCreateThread(&Consumer[i], "consumer", 8, KT_ANY_PROCESSOR, Consume, &Market));
    }
    KtRunOnAllCpus(Produce, &Market);
    KT_WAIT_UNTIL(KeReadStateSemaphore(&Market.Goods) == 0);
    KeSetEvent(&Market.Closed, IO_NO_INCREMENT, FALSE);
    for (ULONG i = 0; i < 8; i++) {
        KtJoin(&Consumer[i]);
    }
    KT_EXPECT_EQ(Market.Taken, KeNumberProcessors * KtStress(1000));
}

/* Wake-ups and time-outs race for the same waits: either way, the wait ends once. */
typedef struct _RACE {
    KEVENT Event;
    volatile LONG Woken, TimedOut;
    volatile BOOLEAN IsOver;
} RACE;

static VOID WaitForATick(PVOID Context) {
    RACE *Race = Context;
    LARGE_INTEGER Tick = {.QuadPart = -TIME_INCREMENT};
    for (ULONG i = 0; i < KtStress(64); i++) {
        NTSTATUS Status = KeWaitForSingleObject(&Race->Event, Executive, KernelMode, FALSE, &Tick);
        InterlockedIncrement(Status == STATUS_TIMEOUT ? &Race->TimedOut : &Race->Woken);
    }
    Race->IsOver = TRUE;
}

KTEST(wait_ends_once_when_the_wakeup_races_the_timeout) {
    static RACE Race;
    KT_THREAD Waiter;
    LONG Sets = 0;
    Race = (RACE){0};
    KeInitializeEvent(&Race.Event, SynchronizationEvent, FALSE);
    KT_REQUIRE(KtCreateThread(&Waiter, "waiter", 9, KT_ANY_PROCESSOR, WaitForATick, &Race));
    while (!Race.IsOver) {
        KtSleep(1);
        Sets += KeSetEvent(&Race.Event, IO_NO_INCREMENT, FALSE) == 0;
    }
    KtJoin(&Waiter);
    KT_EXPECT_EQ(Race.Woken + KeReadStateEvent(&Race.Event), Sets);
    KT_EXPECT_EQ(Race.Woken + Race.TimedOut, KtStress(64));
}

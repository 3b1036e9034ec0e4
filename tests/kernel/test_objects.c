/* test_objects.c: events, semaphores, mutexes and timers by themselves: the results of each call and of a wait. */
#include "ktest.h"

static LARGE_INTEGER Poll; /* 0 */

static NTSTATUS Try(PVOID Object) {
    return KeWaitForSingleObject(Object, Executive, KernelMode, FALSE, &Poll);
}

KTEST(object_headers_have_the_types_and_sizes_of_nt) {
    KEVENT Notification, Synchronization;
    KSEMAPHORE Semaphore;
    KMUTEX Mutex;
    KTIMER Timer, SynchronizationTimerObject;
    KeInitializeEvent(&Notification, NotificationEvent, FALSE);
    KeInitializeEvent(&Synchronization, SynchronizationEvent, TRUE);
    KeInitializeSemaphore(&Semaphore, 1, 2);
    KeInitializeMutex(&Mutex, 0);
    KeInitializeTimer(&Timer);
    KeInitializeTimerEx(&SynchronizationTimerObject, SynchronizationTimer);
    KT_EXPECT_EQ(Notification.Header.Type, 0);
    KT_EXPECT_EQ(Synchronization.Header.Type, 1);
    KT_EXPECT_EQ(Mutex.Header.Type, 2);
    KT_EXPECT_EQ(Semaphore.Header.Type, 5);
    KT_EXPECT_EQ(KeGetCurrentThread()->Header.Type, 6);
    KT_EXPECT_EQ(Timer.Header.Type, 8);
    KT_EXPECT_EQ(SynchronizationTimerObject.Header.Type, 9);
    KT_EXPECT_EQ(Notification.Header.Size, 6);
    KT_EXPECT_EQ(Mutex.Header.Size, 14);
    KT_EXPECT_EQ(Semaphore.Header.Size, 8);
    KT_EXPECT_EQ(sizeof(KTIMER), 0x40);
    KT_EXPECT_EQ(sizeof(FAST_MUTEX), 0x38);
}

/* ---- Events ---- */

KTEST(event_calls_return_the_previous_state) {
    KEVENT Event;
    for (EVENT_TYPE Type = NotificationEvent; Type <= SynchronizationEvent; Type++) {
        KeInitializeEvent(&Event, Type, FALSE);
        KT_EXPECT_EQ(KeReadStateEvent(&Event), 0);
        KT_EXPECT_EQ(KeSetEvent(&Event, IO_NO_INCREMENT, FALSE), 0);
        KT_EXPECT_EQ(KeSetEvent(&Event, IO_NO_INCREMENT, FALSE), 1);
        KT_EXPECT_EQ(KeReadStateEvent(&Event), 1);
        KT_EXPECT_EQ(KeResetEvent(&Event), 1);
        KT_EXPECT_EQ(KeResetEvent(&Event), 0);
        KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
        KT_EXPECT_EQ(KePulseEvent(&Event, IO_NO_INCREMENT, FALSE), 1);
        KT_EXPECT_EQ(KeReadStateEvent(&Event), 0);
        KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
        KeClearEvent(&Event);
        KT_EXPECT_EQ(KeReadStateEvent(&Event), 0);
    }
}

KTEST(event_for_notification_stays_set) {
    KEVENT Event;
    KeInitializeEvent(&Event, NotificationEvent, TRUE);
    KT_EXPECT_EQ(Try(&Event), STATUS_SUCCESS);
    KT_EXPECT_EQ(Try(&Event), STATUS_SUCCESS);
    KeResetEvent(&Event);
    KT_EXPECT_EQ(Try(&Event), STATUS_TIMEOUT);
}

KTEST(event_for_synchronization_lets_one_through) {
    KEVENT Event;
    KeInitializeEvent(&Event, SynchronizationEvent, TRUE);
    KT_EXPECT_EQ(Try(&Event), STATUS_SUCCESS);
    KT_EXPECT_EQ(Try(&Event), STATUS_TIMEOUT);
}

KTEST(event_can_be_set_and_polled_at_DISPATCH) {
    KEVENT Event;
    KeInitializeEvent(&Event, SynchronizationEvent, FALSE);
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    NTSTATUS Before = Try(&Event);
    KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
    NTSTATUS After = Try(&Event);
    KIRQL Irql = KeGetCurrentIrql();
    KeLowerIrql(OldIrql);
    KT_EXPECT_EQ(Before, STATUS_TIMEOUT);
    KT_EXPECT_EQ(After, STATUS_SUCCESS);
    KT_EXPECT_EQ(Irql, DISPATCH_LEVEL);
}

KTEST(event_set_with_Wait_keeps_DISPATCH_until_the_wait) {
    KEVENT First, Second;
    KeInitializeEvent(&First, NotificationEvent, FALSE);
    KeInitializeEvent(&Second, NotificationEvent, TRUE);
    LONG Previous = KeSetEvent(&First, IO_NO_INCREMENT, TRUE);
    KIRQL Between = KiCurrentIrql();
    NTSTATUS Status = KeWaitForSingleObject(&Second, Executive, KernelMode, FALSE, NULL);
    KT_EXPECT_EQ(Previous, 0);
    KT_EXPECT_EQ(Between, DISPATCH_LEVEL);
    KT_EXPECT_EQ(Status, STATUS_SUCCESS);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
    KT_EXPECT_EQ(KeReadStateEvent(&First), 1);
}

/* ---- Semaphores ---- */

KTEST(semaphore_counts) {
    KSEMAPHORE Semaphore;
    KeInitializeSemaphore(&Semaphore, 1, 3);
    KT_EXPECT_EQ(KeReadStateSemaphore(&Semaphore), 1);
    KT_EXPECT_EQ(KeReleaseSemaphore(&Semaphore, IO_NO_INCREMENT, 2, FALSE), 1);
    KT_EXPECT_EQ(KeReadStateSemaphore(&Semaphore), 3);
    for (LONG Left = 2; Left >= 0; Left--) {
        KT_EXPECT_EQ(Try(&Semaphore), STATUS_SUCCESS);
        KT_EXPECT_EQ(KeReadStateSemaphore(&Semaphore), Left);
    }
    KT_EXPECT_EQ(Try(&Semaphore), STATUS_TIMEOUT);
}

KTEST_CRASH(semaphore_above_its_limit) {
    static KSEMAPHORE Semaphore;
    KeInitializeSemaphore(&Semaphore, 1, 2);
    KeReleaseSemaphore(&Semaphore, IO_NO_INCREMENT, 2, FALSE);
}

/* ---- Mutexes ---- */

KTEST(mutex_counts_recursion_and_disables_apcs_once) {
    PKTHREAD Thread = KeGetCurrentThread();
    KMUTEX Mutex;
    KeInitializeMutex(&Mutex, 0);
    KT_EXPECT_EQ(KeReadStateMutex(&Mutex), 1);
    KT_EXPECT_EQ(Mutex.ApcDisable, 1);
    for (LONG i = 0; i < 4; i++) {
        KT_EXPECT_EQ(KeWaitForMutexObject(&Mutex, Executive, KernelMode, FALSE, NULL), STATUS_SUCCESS);
        KT_EXPECT_EQ(KeReadStateMutex(&Mutex), -i);
        KT_EXPECT_EQ(Thread->KernelApcDisable, -1);
        KT_EXPECT_EQ(Mutex.OwnerThread, Thread);
    }
    for (LONG i = 3; i > 0; i--) {
        KT_EXPECT_EQ(KeReleaseMutex(&Mutex, FALSE), -i);
        KT_EXPECT_EQ(Thread->KernelApcDisable, -1);
    }
    KT_EXPECT_EQ(KeReleaseMutex(&Mutex, FALSE), 0);
    KT_EXPECT_EQ(KeReadStateMutex(&Mutex), 1);
    KT_EXPECT_EQ(Thread->KernelApcDisable, 0);
    KT_EXPECT_EQ(Mutex.OwnerThread, NULL);
    KT_EXPECT(IsListEmpty(&Thread->MutantListHead));
}

static VOID TakeAndEnd(PVOID Context) {
    KT_EXPECT_EQ(KeWaitForSingleObject(Context, Executive, KernelMode, FALSE, NULL), STATUS_SUCCESS);
}

KTEST(mutant_of_an_ended_thread_is_abandoned) {
    static KMUTANT Mutant;
    KT_THREAD Owner;
    KeInitializeMutant(&Mutant, FALSE);
    KT_REQUIRE(KtCreateThread(&Owner, "owner", 8, KT_ANY_PROCESSOR, TakeAndEnd, &Mutant));
    KtJoin(&Owner);
    KT_EXPECT(Mutant.Abandoned);
    KT_EXPECT_EQ(Try(&Mutant), STATUS_ABANDONED_WAIT_0);
    KT_EXPECT(!Mutant.Abandoned);
    KT_EXPECT_EQ(Mutant.OwnerThread, KeGetCurrentThread());
    KT_EXPECT_EQ(KeGetCurrentThread()->KernelApcDisable, 0);
    KT_EXPECT_EQ(KeReleaseMutant(&Mutant, MUTANT_INCREMENT, FALSE, FALSE), 0);
}

static VOID TryInVain(PVOID Context) {
    KT_EXPECT_EQ(Try(Context), STATUS_TIMEOUT);
}

KTEST(mutex_is_refused_to_other_threads) {
    static KMUTEX Mutex;
    KT_THREAD Other;
    KeInitializeMutex(&Mutex, 0);
    KT_EXPECT_EQ(Try(&Mutex), STATUS_SUCCESS);
    KT_EXPECT_EQ(Try(&Mutex), STATUS_SUCCESS);
    BOOLEAN IsCreated = KtCreateThread(&Other, "other", 8, KT_ANY_PROCESSOR, TryInVain, &Mutex);
    if (IsCreated) {
        KtJoin(&Other);
    }
    KeReleaseMutex(&Mutex, FALSE);
    KeReleaseMutex(&Mutex, FALSE);
}

KTEST_CRASH(mutex_released_by_a_stranger) {
    static KMUTEX Mutex;
    KeInitializeMutex(&Mutex, 0);
    KeReleaseMutex(&Mutex, FALSE);
}

/* ---- Timers ---- */

static LARGE_INTEGER InMilliseconds(LONGLONG Ms) {
    return (LARGE_INTEGER){.QuadPart = -Ms * 10000};
}

KTEST(timer_expires_and_says_so) {
    KTIMER Timer;
    KeInitializeTimer(&Timer);
    KT_EXPECT(!KeSetTimer(&Timer, InMilliseconds(1000), NULL));
    KT_EXPECT(KeSetTimer(&Timer, InMilliseconds(20), NULL));
    KT_EXPECT(!KeReadStateTimer(&Timer));
    KT_EXPECT_EQ(KeWaitForSingleObject(&Timer, Executive, KernelMode, FALSE, NULL), STATUS_SUCCESS);
    KT_EXPECT(KeReadStateTimer(&Timer));
    KT_EXPECT(!KeCancelTimer(&Timer));
    KT_EXPECT(!KeSetTimer(&Timer, InMilliseconds(1000), NULL));
    KT_EXPECT(!KeReadStateTimer(&Timer));
    KT_EXPECT(KeCancelTimer(&Timer));
    KT_EXPECT(!KeCancelTimer(&Timer));
}

KTEST(timer_for_synchronization_resets_itself) {
    KTIMER Timer;
    KeInitializeTimerEx(&Timer, SynchronizationTimer);
    KeSetTimer(&Timer, InMilliseconds(1), NULL);
    KT_EXPECT_EQ(KeWaitForSingleObject(&Timer, Executive, KernelMode, FALSE, NULL), STATUS_SUCCESS);
    KT_EXPECT_EQ(Try(&Timer), STATUS_TIMEOUT);
}

KTEST(timer_due_in_the_past_fires_at_once) {
    KTIMER Timer;
    LARGE_INTEGER Past = {.QuadPart = 1};
    KeInitializeTimer(&Timer);
    KT_EXPECT(!KeSetTimer(&Timer, Past, NULL));
    KT_EXPECT(KeReadStateTimer(&Timer));
}

KTEST(timer_due_at_a_system_time_keeps_it) {
    KTIMER Timer;
    LARGE_INTEGER Due, Now;
    KeInitializeTimer(&Timer);
    KeQuerySystemTime(&Due);
    Due.QuadPart += 300000;
    KeSetTimer(&Timer, Due, NULL);
    KeWaitForSingleObject(&Timer, Executive, KernelMode, FALSE, NULL);
    KeQuerySystemTime(&Now);
    KT_EXPECT(Now.QuadPart >= Due.QuadPart);
}

static VOID CountExpiry(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KT_EXPECT(KeIsDpcActive());
    InterlockedIncrement(Context);
}

KTEST(timer_with_a_period_fires_until_cancelled) {
    KTIMER Timer;
    KDPC Dpc;
    volatile LONG Expiries = 0;
    KeInitializeTimerEx(&Timer, SynchronizationTimer);
    KeInitializeDpc(&Dpc, CountExpiry, (PVOID)&Expiries);
    KeSetTimerEx(&Timer, InMilliseconds(1), 20, &Dpc);
    for (ULONG i = 0; i < 4; i++) {
        KT_EXPECT_EQ(KeWaitForSingleObject(&Timer, Executive, KernelMode, FALSE, NULL), STATUS_SUCCESS);
    }
    KT_WAIT_UNTIL(Expiries >= 4);
    KT_EXPECT(KeCancelTimer(&Timer));
    KeFlushQueuedDpcs();
    LONG Last = Expiries;
    KtSleep(100);
    KT_EXPECT_EQ(Expiries, Last);
}

/* Its due times are multiples of the period, although no tick reaches one exactly. Real threads may miss an expiry. */
KTEST(timer_with_a_period_does_not_drift) {
    KTIMER Timer;
    KeInitializeTimerEx(&Timer, SynchronizationTimer);
    KeSetTimerEx(&Timer, InMilliseconds(1), 20, NULL);
    KeWaitForSingleObject(&Timer, Executive, KernelMode, FALSE, NULL);
    ULONG64 Start = KeQueryInterruptTime();
    for (ULONG i = 0; i < 10; i++) {
        KeWaitForSingleObject(&Timer, Executive, KernelMode, FALSE, NULL);
    }
    ULONG64 Ms = (KeQueryInterruptTime() - Start) / 10000;
    KeCancelTimer(&Timer);
    KT_EXPECT((Ms > 165 && Ms < 235) || !KtIsSeeded());
}

KTEST(timer_with_a_period_stays_signalled_between_its_expiries) {
    KTIMER Timer;
    KeInitializeTimer(&Timer);
    KeSetTimerEx(&Timer, InMilliseconds(1), 100, NULL);
    KeWaitForSingleObject(&Timer, Executive, KernelMode, FALSE, NULL);
    KT_EXPECT(KeReadStateTimer(&Timer));
    KT_EXPECT(KeCancelTimer(&Timer));
}

KTEST(timers_expire_in_the_order_of_their_due_times) {
    static KTIMER Timer[3];
    static const ULONG Ms[3] = {120, 40, 80};
    PVOID Objects[3];
    for (ULONG i = 0; i < 3; i++) {
        KeInitializeTimerEx(&Timer[i], SynchronizationTimer);
        KeSetTimer(&Timer[i], InMilliseconds(Ms[i]), NULL);
        Objects[i] = &Timer[i];
    }
    static const ULONG Expected[3] = {1, 2, 0};
    for (ULONG i = 0; i < 3; i++) {
        NTSTATUS Status = KeWaitForMultipleObjects(3, Objects, WaitAny, Executive, KernelMode, FALSE, NULL, NULL);
        KT_EXPECT_EQ(Status, STATUS_WAIT_0 + (NTSTATUS)Expected[i]);
    }
}

static volatile LONG ExpiryTurn;

static VOID NoteExpiry(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    *(volatile LONG *)Context = InterlockedIncrement(&ExpiryTurn);
}

KTEST(timers_that_are_due_together_expire_in_the_order_of_their_setting) {
    static KTIMER Timer[4];
    static KDPC Dpc[4];
    static volatile LONG Turn[4];
    LARGE_INTEGER Due;
    ExpiryTurn = 0;
    KeQuerySystemTime(&Due);
    Due.QuadPart += 500000;
    for (ULONG i = 0; i < 4; i++) {
        Turn[i] = 0;
        KeInitializeTimer(&Timer[i]);
        KeInitializeDpc(&Dpc[i], NoteExpiry, (PVOID)&Turn[i]);
        KeSetTargetProcessorDpc(&Dpc[i], 0);
        KeSetTimer(&Timer[i], Due, &Dpc[i]);
    }
    KT_WAIT_UNTIL(ExpiryTurn == 4);
    for (ULONG i = 0; i < 4; i++) {
        KT_EXPECT_EQ(Turn[i], i + 1);
    }
}

KTEST(delay_takes_at_least_the_ticks_it_was_asked_for) {
    ULONG64 Start = KeQueryInterruptTime();
    KtSleep(50);
    KT_EXPECT(KeQueryInterruptTime() - Start >= 500000);
}

/* ---- Regions ---- */

KTEST(region_counts_nest) {
    PKTHREAD Thread = KeGetCurrentThread();
    KT_EXPECT(!KeAreApcsDisabled());
    KeEnterCriticalRegion();
    KeEnterCriticalRegion();
    KT_EXPECT_EQ(Thread->KernelApcDisable, -2);
    KT_EXPECT(KeAreApcsDisabled() && !KeAreAllApcsDisabled());
    KeEnterGuardedRegion();
    KT_EXPECT_EQ(Thread->SpecialApcDisable, -1);
    KT_EXPECT(KeAreAllApcsDisabled());
    KeLeaveGuardedRegion();
    KeLeaveCriticalRegion();
    KeLeaveCriticalRegion();
    KT_EXPECT_EQ(Thread->CombinedApcDisable, 0);
}

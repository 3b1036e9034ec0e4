/* test_threads.c: scheduling: who runs, when, on which CPU; and the life of a thread object from handle to reaper. */
#include "ktest.h"
#include <ob.h>

/* ---- Preemption ---- */

typedef struct _NOTE {
    KT_THREAD Thread;
    KEVENT *Go;
    volatile LONG *Counter;
    volatile LONG Turn;
    volatile ULONG Processor;
    volatile KPRIORITY Priority;
} NOTE;

static VOID WaitAndNote(PVOID Context) {
    NOTE *Note = Context;
    KeWaitForSingleObject(Note->Go, Executive, KernelMode, FALSE, NULL);
    Note->Priority = KeQueryPriorityThread(KeGetCurrentThread());
    Note->Processor = KeGetCurrentProcessorNumber();
    Note->Turn = InterlockedIncrement(Note->Counter);
}

static BOOLEAN StartNote(NOTE *Note, KPRIORITY Priority, ULONG Processor, KEVENT *Go, volatile LONG *Counter) {
    *Note = (NOTE){.Go = Go, .Counter = Counter};
    if (!KtCreateThread(&Note->Thread, "note", Priority, Processor, WaitAndNote, Note)) {
        return FALSE;
    }
    KT_WAIT_UNTIL(Note->Thread.Thread->Tcb.State == Waiting && Note->Thread.Thread->Tcb.WaitReason == Executive);
    return TRUE;
}

KTEST(thread_that_is_more_important_runs_before_the_call_returns) {
    static KEVENT Go;
    static NOTE High, Equal, Low;
    volatile LONG Counter = 0;
    KtPin(0);
    KeInitializeEvent(&Go, NotificationEvent, FALSE);
    KT_REQUIRE(StartNote(&Low, 7, 0, &Go, &Counter));
    KT_REQUIRE(StartNote(&Equal, 8, 0, &Go, &Counter));
    KT_REQUIRE(StartNote(&High, 9, 0, &Go, &Counter));
    KIRQL OldIrql;
    KeRaiseIrql(APC_LEVEL, &OldIrql); /* preemption does not care */
    KeSetEvent(&Go, IO_NO_INCREMENT, FALSE);
    LONG HighTurn = High.Turn;
    KeLowerIrql(OldIrql);
    KtJoin(&Low.Thread);
    KtJoin(&Equal.Thread);
    KtJoin(&High.Thread);
    KtUnpin();
    KT_EXPECT_EQ(HighTurn, 1);
    KT_EXPECT_EQ(Equal.Turn, 2);
    KT_EXPECT_EQ(Low.Turn, 3);
}

KTEST(thread_does_not_switch_at_DISPATCH_until_the_level_drops) {
    static KEVENT Go;
    static NOTE High;
    volatile LONG Counter = 0;
    KtPin(0);
    KeInitializeEvent(&Go, NotificationEvent, FALSE);
    KT_REQUIRE(StartNote(&High, 12, 0, &Go, &Counter));
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    KeSetEvent(&Go, IO_NO_INCREMENT, FALSE);
    LONG During = Counter;
    KeLowerIrql(OldIrql);
    LONG After = Counter;
    KtJoin(&High.Thread);
    KtUnpin();
    KT_EXPECT_EQ(During, 0);
    KT_EXPECT_EQ(After, 1);
}

typedef struct _PREEMPTED {
    NOTE Note;
    KEVENT Start;
    KEVENT *Preempter;
} PREEMPTED;

/* Sets an event that a more important thread of this CPU waits for: it is preempted inside the call. */
static VOID StartPreempterAndNote(PVOID Context) {
    PREEMPTED *This = Context;
    KeWaitForSingleObject(&This->Start, Executive, KernelMode, FALSE, NULL);
    KeSetEvent(This->Preempter, IO_NO_INCREMENT, FALSE);
    This->Note.Turn = InterlockedIncrement(This->Note.Counter);
}

KTEST(thread_that_was_preempted_goes_on_before_its_equals) {
    static KEVENT Go, Preempt;
    static NOTE Equal;
    static PREEMPTED This;
    volatile LONG Counter = 0;
    KPRIORITY Old = KeSetPriorityThread(KeGetCurrentThread(), 12);
    KtPin(0);
    KeInitializeEvent(&Go, NotificationEvent, FALSE);
    KeInitializeEvent(&Preempt, SynchronizationEvent, FALSE);
    KeInitializeEvent(&This.Start, SynchronizationEvent, FALSE);
    KT_REQUIRE(StartNote(&Equal, 9, 0, &Go, &Counter));
    This.Note = (NOTE){.Counter = &Counter};
    This.Preempter = &Preempt;
    KT_REQUIRE(KtCreateThread(&This.Note.Thread, "preempted", 9, 0, StartPreempterAndNote, &This));
    KT_WAIT_UNTIL(This.Note.Thread.Thread->Tcb.State == Waiting &&
                  This.Note.Thread.Thread->Tcb.WaitBlockList->Object == &This.Start.Header);
    KeSetEvent(&This.Start, IO_NO_INCREMENT, FALSE);
    KeSetEvent(&Go, IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(&Preempt, Executive, KernelMode, FALSE,
                          NULL); /* both are ready; the first one preempts itself */
    KtJoin(&This.Note.Thread);
    KtJoin(&Equal.Thread);
    KtUnpin();
    KeSetPriorityThread(KeGetCurrentThread(), Old);
    KT_EXPECT_EQ(This.Note.Turn, 1);
    KT_EXPECT_EQ(Equal.Turn, 2);
}

/* Chosen for the CPU, and displaced by a better one before it came to run: it is the first of its equals still. */
KTEST(thread_that_was_displaced_runs_before_its_equals) {
    static KEVENT Go[3];
    static NOTE Note[3];
    static const KPRIORITY Priority[3] = {9, 9, 10};
    static const LONG Expected[3] = {2, 3, 1};
    volatile LONG Counter = 0;
    KtPin(0);
    for (ULONG i = 0; i < 3; i++) {
        KeInitializeEvent(&Go[i], NotificationEvent, FALSE);
        KT_REQUIRE(StartNote(&Note[i], Priority[i], 0, &Go[i], &Counter));
    }
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    for (ULONG i = 0; i < 3; i++) {
        KeSetEvent(&Go[i], IO_NO_INCREMENT, FALSE);
    }
    KeLowerIrql(OldIrql);
    for (ULONG i = 0; i < 3; i++) {
        KtJoin(&Note[i].Thread);
        KT_EXPECT_EQ(Note[i].Turn, Expected[i]);
    }
    KtUnpin();
}

KTEST(thread_on_another_cpu_is_preempted_too) {
    static KEVENT Go;
    static NOTE High;
    volatile LONG Counter = 0;
    KT_NEEDS_PROCESSORS(2);
    KtPin(0);
    KeInitializeEvent(&Go, NotificationEvent, FALSE);
    KT_REQUIRE(StartNote(&High, 12, 1, &Go, &Counter));
    KeSetEvent(&Go, IO_NO_INCREMENT, FALSE);
    while (Counter == 0) { /* without giving up this CPU */
        YieldProcessor();
    }
    KtJoin(&High.Thread);
    KtUnpin();
    KT_EXPECT_EQ(High.Processor, 1);
}

typedef struct _SPINNER {
    KT_THREAD Thread;
    volatile ULONG64 Rounds;
    volatile BOOLEAN *IsOver;
} SPINNER;

static VOID Spin(PVOID Context) {
    SPINNER *Spinner = Context;
    while (!*Spinner->IsOver) {
        Spinner->Rounds++;
        KtSpin();
    }
}

/* By an interrupt, not by its own next tick or the end of a quantum. Real threads may be held up by the host. */
KTEST(thread_on_another_cpu_does_not_wait_for_a_tick) {
    static KEVENT Go;
    static NOTE High;
    static SPINNER Busy;
    volatile BOOLEAN IsOver = FALSE;
    ULONG64 Waited = 0;
    KT_NEEDS_PROCESSORS(2);
    KtPin(0);
    Busy = (SPINNER){.IsOver = &IsOver};
    KT_REQUIRE(KtCreateThread(&Busy.Thread, "spinner", 7, 1, Spin, &Busy));
    for (ULONG Round = 0; Round < 6; Round++) {
        volatile LONG Counter = 0;
        KeInitializeEvent(&Go, NotificationEvent, FALSE);
        KT_REQUIRE(StartNote(&High, 12, 1, &Go, &Counter));
        ULONG64 Start = KiTickCount;
        KeSetEvent(&Go, IO_NO_INCREMENT, FALSE);
        while (Counter == 0) {
            YieldProcessor();
        }
        Waited += KiTickCount - Start;
        KtJoin(&High.Thread);
    }
    IsOver = TRUE;
    KtJoin(&Busy.Thread);
    KtUnpin();
    KT_EXPECT(Waited < 3 || !KtIsSeeded());
}

KTEST(thread_woken_with_an_increment_is_boosted) {
    static KEVENT Go;
    static NOTE Note;
    volatile LONG Counter = 0;
    static const struct {
        KPRIORITY Base, Increment, Expected;
    } Cases[] = {{8, 0, 8}, {8, 2, 10}, {8, 12, 15}, {15, 3, 15}, {16, 4, 16}, {20, 8, 20}};
    for (ULONG i = 0; i < RTL_NUMBER_OF(Cases); i++) {
        KeInitializeEvent(&Go, SynchronizationEvent, FALSE);
        KT_REQUIRE(StartNote(&Note, Cases[i].Base, KT_ANY_PROCESSOR, &Go, &Counter));
        KeSetEvent(&Go, Cases[i].Increment, FALSE);
        KtJoin(&Note.Thread);
        KT_EXPECT_EQ(Note.Priority, Cases[i].Expected);
    }
}

KTEST_ALONE(thread_loses_its_boost_by_one_with_each_quantum) {
    PKTHREAD Thread = KeGetCurrentThread();
    KEVENT Event;
    KTIMER Timer;
    KeInitializeTimer(&Timer);
    KeInitializeEvent(&Event, SynchronizationEvent, FALSE);
    KT_EXPECT_EQ(KeQueryPriorityThread(Thread), 8);
    Thread->Priority = 11; /* as a wake-up with an increment of 3 leaves it */
    Thread->PriorityDecrement = 3;
    KPRIORITY Last = 11;
    while (Last > 8) {
        KPRIORITY Now = KeQueryPriorityThread(Thread);
        KT_EXPECT(Now == Last || Now == Last - 1);
        Last = Now;
        KtSpin();
    }
    for (ULONG64 End = KiTickCount + 6; KiTickCount < End;) {
        KtSpin();
    }
    KT_EXPECT_EQ(KeQueryPriorityThread(Thread), 8);
}

/* ---- Priorities ---- */

KTEST(thread_priority_is_set_and_the_old_one_returned) {
    PKTHREAD Thread = KeGetCurrentThread();
    KT_EXPECT_EQ(KeSetPriorityThread(Thread, 12), 8);
    KT_EXPECT_EQ(KeQueryPriorityThread(Thread), 12);
    KT_EXPECT_EQ(KeSetPriorityThread(Thread, LOW_REALTIME_PRIORITY), 12);
    KT_EXPECT_EQ(KeSetPriorityThread(Thread, 8), LOW_REALTIME_PRIORITY);
}

static VOID CountUp(PVOID Context) {
    InterlockedIncrement(Context);
}

/* The new thread is in the queue of CPU 0, where the caller runs, and may run nowhere else. */
static VOID WaitUntilQueuedHere(KT_THREAD *Thread) {
    PKTHREAD Tcb = &Thread->Thread->Tcb;
    while (Tcb->State != Ready || Tcb->Processor != 0 || (KeNumberProcessors > 1 && Tcb->Affinity != 1)) {
        YieldProcessor();
    }
}

KTEST(thread_that_lowers_itself_gives_way_at_once) {
    volatile LONG Runs = 0;
    KT_THREAD Other;
    KtPin(0);
    KeSetPriorityThread(KeGetCurrentThread(), 10);
    KT_REQUIRE(KtCreateThread(&Other, "other", 9, 0, CountUp, (PVOID)&Runs));
    WaitUntilQueuedHere(&Other);
    LONG Before = Runs;
    KeSetPriorityThread(KeGetCurrentThread(), 8);
    LONG After = Runs;
    KtUnpin();
    KtJoin(&Other);
    KT_EXPECT_EQ(Before, 0);
    KT_EXPECT_EQ(After, 1);
}

KTEST(thread_that_is_ready_preempts_when_it_is_raised) {
    volatile LONG Runs = 0;
    KT_THREAD Other;
    KtPin(0);
    KT_REQUIRE(KtCreateThread(&Other, "other", 7, 0, CountUp, (PVOID)&Runs));
    WaitUntilQueuedHere(&Other);
    LONG Before = Runs;
    KeSetPriorityThread(&Other.Thread->Tcb, 9);
    LONG After = Runs;
    KtUnpin();
    KtJoin(&Other);
    KT_EXPECT_EQ(Before, 0);
    KT_EXPECT_EQ(After, 1);
}

KTEST(thread_base_priority_is_relative_to_the_process) {
    PKTHREAD Thread = KeGetCurrentThread();
    KT_EXPECT_EQ(KeSetBasePriorityThread(Thread, 2), 0);
    KT_EXPECT_EQ(KeQueryPriorityThread(Thread), 10);
    KT_EXPECT_EQ(KeSetBasePriorityThread(Thread, 16), 2);
    KT_EXPECT_EQ(KeQueryPriorityThread(Thread), 15);
    KT_EXPECT_EQ(KeSetBasePriorityThread(Thread, -16), 7);
    KT_EXPECT_EQ(KeQueryPriorityThread(Thread), 1);
    KT_EXPECT_EQ(KeSetBasePriorityThread(Thread, 0), -7);
    KeSetPriorityThread(Thread, 20);
    KeSetBasePriorityThread(Thread, -16); /* it stays in its class */
    KT_EXPECT_EQ(KeQueryPriorityThread(Thread), LOW_REALTIME_PRIORITY);
    KeSetPriorityThread(Thread, 8);
}

KTEST(thread_information_is_set_by_handle) {
    PETHREAD Thread = PsGetCurrentThread();
    HANDLE Self = (HANDLE)(LONG_PTR)-2;
    KPRIORITY Priority = 11;
    LONG Increment = 0;
    KT_EXPECT_EQ(ZwSetInformationThread(Self, ThreadPriority, &Priority, sizeof(Priority)), STATUS_SUCCESS);
    KT_EXPECT_EQ(KeQueryPriorityThread(&Thread->Tcb), 11);
    KT_EXPECT_EQ(ZwSetInformationThread(Self, ThreadBasePriority, &Increment, sizeof(Increment)), STATUS_SUCCESS);
    KT_EXPECT_EQ(KeQueryPriorityThread(&Thread->Tcb), 8);
    Priority = 32;
    KT_EXPECT_EQ(ZwSetInformationThread(Self, ThreadPriority, &Priority, sizeof(Priority)), STATUS_INVALID_PARAMETER);
    KT_EXPECT_EQ(ZwSetInformationThread(Self, ThreadPriority, &Priority, 2), STATUS_INFO_LENGTH_MISMATCH);
    KT_EXPECT_EQ(ZwSetInformationThread(Self, ThreadTimes, &Priority, 4), STATUS_INVALID_INFO_CLASS);
    KT_EXPECT_EQ(ZwSetInformationThread((HANDLE)0x40000, ThreadPriority, &Increment, 4), STATUS_INVALID_HANDLE);
    KT_EXPECT_EQ(PsGetThreadId(Thread), PsGetCurrentThreadId());
    KT_EXPECT_EQ(HandleToULong(PsGetThreadProcessId(Thread)), 4);
    KT_EXPECT(PsIsSystemThread(Thread) && !PsIsThreadTerminating(Thread));
    KT_EXPECT_EQ(PsGetThreadExitStatus(Thread), STATUS_PENDING);
}

KTEST_ALONE(thread_run_time_is_counted_in_ticks) {
    ULONG UserTime = 1, Before = KeQueryRuntimeThread(KeGetCurrentThread(), &UserTime), After = Before;
    KT_EXPECT_EQ(UserTime, 0);
    while (After < Before + 2) {
        KtSpin();
        After = KeQueryRuntimeThread(KeGetCurrentThread(), &UserTime);
    }
}

/* ---- Turns ---- */

KTEST(threads_of_one_priority_take_turns) {
    static SPINNER Spinner[3];
    volatile BOOLEAN IsOver = FALSE;
    for (ULONG i = 0; i < 3; i++) {
        Spinner[i] = (SPINNER){.IsOver = &IsOver};
        KT_REQUIRE(KtCreateThread(&Spinner[i].Thread, "spinner", 7, 0, Spin, &Spinner[i]));
    }
    for (ULONG Check = 0; Check < 3; Check++) { /* each of them gets on, again and again */
        ULONG64 Seen[3];
        for (ULONG i = 0; i < 3; i++) {
            Seen[i] = Spinner[i].Rounds;
        }
        for (ULONG i = 0; i < 3; i++) {
            KT_WAIT_UNTIL(Spinner[i].Rounds > Seen[i]);
        }
    }
    IsOver = TRUE;
    for (ULONG i = 0; i < 3; i++) {
        KtJoin(&Spinner[i].Thread);
    }
}

typedef struct _YIELDER {
    KT_THREAD Thread;
    volatile LONG *Turn;
    LONG Parity;
    ULONG Rounds;
} YIELDER;

static VOID YieldInTurn(PVOID Context) {
    YIELDER *Yielder = Context;
    for (ULONG i = 0; i < Yielder->Rounds; i++) {
        while ((*Yielder->Turn & 1) != Yielder->Parity) {
            KeYieldThread();
        }
        InterlockedIncrement(Yielder->Turn);
    }
}

KTEST(thread_that_yields_lets_its_equal_run) {
    static YIELDER Yielder[2];
    volatile LONG Turn = 0;
    for (LONG i = 0; i < 2; i++) {
        Yielder[i] = (YIELDER){.Turn = &Turn, .Parity = i, .Rounds = KtStress(2000)};
        KT_REQUIRE(KtCreateThread(&Yielder[i].Thread, "yielder", 8, 0, YieldInTurn, &Yielder[i]));
    }
    KtJoin(&Yielder[0].Thread);
    KtJoin(&Yielder[1].Thread);
    KT_EXPECT_EQ(Turn, 2 * KtStress(2000));
}

/* ---- CPUs ---- */

KTEST(thread_moves_to_the_cpus_it_is_bound_to) {
    for (ULONG Round = 0; Round < KtStress(32); Round++) {
        for (ULONG Number = 0; Number < KeNumberProcessors; Number++) {
            KAFFINITY Old = KeSetSystemAffinityThreadEx((KAFFINITY)1 << Number);
            KT_EXPECT_EQ(KeGetCurrentProcessorNumber(), Number);
            KT_EXPECT_EQ(Old, 0);
            KeRevertToUserAffinityThreadEx(Old);
        }
    }
    KT_EXPECT_EQ(KeSetSystemAffinityThreadEx(1), 0);
    KT_EXPECT_EQ(KeSetSystemAffinityThreadEx(KeActiveProcessors), 1);
    KeRevertToUserAffinityThreadEx(1);
    KT_EXPECT_EQ(KeGetCurrentProcessorNumber(), 0);
    KeRevertToUserAffinityThread();
}

KTEST(thread_bound_at_DISPATCH_moves_when_the_level_drops) {
    KT_NEEDS_PROCESSORS(2);
    KtPin(0);
    for (ULONG Target = 1; Target < KeNumberProcessors; Target++) {
        KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
        ULONG Before = KeGetCurrentProcessorNumber();
        KeSetSystemAffinityThread((KAFFINITY)1 << Target);
        ULONG During = KeGetCurrentProcessorNumber();
        KeLowerIrql(OldIrql);
        ULONG After = KeGetCurrentProcessorNumber();
        KT_EXPECT_EQ(Before, During);
        KT_EXPECT_EQ(After, Target);
    }
    KtUnpin();
}

KTEST(thread_is_bound_by_group_and_number) {
    GROUP_AFFINITY Affinity = {0}, Previous = {.Mask = 77}, Nowhere = {.Mask = 1, .Group = 1};
    PROCESSOR_NUMBER Number;
    KT_EXPECT_EQ(KeQueryActiveProcessorCountEx(ALL_PROCESSOR_GROUPS), KeNumberProcessors);
    KT_EXPECT_EQ(KeQueryActiveProcessorCountEx(0), KeNumberProcessors);
    KT_EXPECT_EQ(KeQueryActiveProcessorCountEx(1), 0);
    KT_EXPECT_EQ(KeQueryGroupAffinity(0), KeActiveProcessors);
    for (ULONG i = 0; i < KeNumberProcessors; i++) {
        Affinity.Mask = (KAFFINITY)1 << i;
        KeSetSystemGroupAffinityThread(&Affinity, &Previous);
        KT_EXPECT_EQ(Previous.Mask, 0);
        KT_EXPECT_EQ(KeGetCurrentProcessorNumberEx(&Number), i);
        KT_EXPECT_EQ(Number.Number, i);
        KT_EXPECT_EQ(Number.Group, 0);
        KT_EXPECT_EQ(KeGetProcessorNumberFromIndex(i, &Number), STATUS_SUCCESS);
        KT_EXPECT_EQ(KeGetProcessorIndexFromNumber(&Number), i);
        KeRevertToUserGroupAffinityThread(&Previous);
    }
    KeSetSystemGroupAffinityThread(&Nowhere, &Previous);
    KT_EXPECT_EQ(Previous.Mask, 0);
    KT_EXPECT(!KeGetCurrentThread()->IsSystemAffinity);
    KT_EXPECT_EQ(KeGetProcessorNumberFromIndex(KeNumberProcessors, &Number), STATUS_INVALID_PARAMETER);
    Number = (PROCESSOR_NUMBER){.Number = 63, .Group = 2};
    KT_EXPECT_EQ(KeGetProcessorIndexFromNumber(&Number), INVALID_PROCESSOR_INDEX);
}

static VOID SpinUntilOver(PVOID Context) {
    while (!*(volatile BOOLEAN *)Context) {
        KtSpin();
        YieldProcessor();
    }
}

static ULONG CountBusyProcessors(KT_THREAD *Threads, ULONG Count) {
    KAFFINITY Busy = 0;
    ULONG Processors = 0;
    for (ULONG i = 0; i < Count; i++) {
        KAFFINITY Bit = (KAFFINITY)1 << Threads[i].Thread->Tcb.Processor;
        if (Threads[i].Thread->Tcb.State == Running && !(Busy & Bit)) {
            Busy |= Bit;
            Processors++;
        }
    }
    return Processors;
}

KTEST(threads_spread_over_idle_cpus) {
    static KT_THREAD Spinner[MAXIMUM_PROCESSORS];
    volatile BOOLEAN IsOver = FALSE;
    ULONG Count = KeNumberProcessors;
    for (ULONG i = 0; i < Count; i++) {
        KT_REQUIRE(KtCreateThread(&Spinner[i], "spinner", 6, KT_ANY_PROCESSOR, SpinUntilOver, (PVOID)&IsOver));
    }
    KT_WAIT_UNTIL(CountBusyProcessors(Spinner, Count) >= Count - 1); /* this thread looks from one of them */
    IsOver = TRUE;
    for (ULONG i = 0; i < Count; i++) {
        KtJoin(&Spinner[i]);
    }
}

typedef struct _RESTING {
    KT_THREAD Thread;
    KEVENT Go;
    ULONG Home;
    volatile BOOLEAN IsResting;
    volatile ULONG Processor;
    volatile LONG *Counter; /* NULL: it counts nothing */
    volatile LONG Turn;
} RESTING;

static VOID RestAtHome(PVOID Context) {
    RESTING *This = Context;
    KtPin(This->Home);
    KtUnpin(); /* it may run anywhere now, and has run here */
    This->IsResting = TRUE;
    KeWaitForSingleObject(&This->Go, Executive, KernelMode, FALSE, NULL);
    This->Processor = KeGetCurrentProcessorNumber();
    if (This->Counter != NULL) {
        This->Turn = InterlockedIncrement(This->Counter);
    }
}

static BOOLEAN StartResting(RESTING *This, KPRIORITY Priority, ULONG Home) {
    *This = (RESTING){.Home = Home};
    KeInitializeEvent(&This->Go, NotificationEvent, FALSE);
    if (!KtCreateThread(&This->Thread, "resting", Priority, KT_ANY_PROCESSOR, RestAtHome, This)) {
        return FALSE;
    }
    KT_WAIT_UNTIL(This->IsResting && This->Thread.Thread->Tcb.State == Waiting);
    return TRUE;
}

/* Neither of the two CPUs has anything else to do, but for a system thread now and then: so more than one round. */
KTEST(thread_prefers_its_last_cpu_to_its_ideal_one) {
    static RESTING This;
    ULONG AtHome = 0;
    KT_NEEDS_PROCESSORS(3);
    for (ULONG Round = 0; Round < 8; Round++) {
        KtPin(0);
        KT_REQUIRE(StartResting(&This, 9, 0));
        KtUnpin();
        PKTHREAD Thread = &This.Thread.Thread->Tcb;
        Thread->IdealProcessor = 1;
        Thread->Processor = 2;
        KtPin(0);
        KeSetEvent(&This.Go, IO_NO_INCREMENT, FALSE);
        KtJoin(&This.Thread);
        KtUnpin();
        AtHome += This.Processor == 2;
    }
    KT_EXPECT(AtHome > 4);
}

KTEST(thread_that_finds_all_cpus_busy_with_its_equals_queues_at_home) {
    static RESTING This;
    static SPINNER Spinner[MAXIMUM_PROCESSORS];
    volatile BOOLEAN IsOver = FALSE;
    KT_NEEDS_PROCESSORS(3);
    ULONG Home = KeNumberProcessors - 1;
    KPRIORITY Old = KeSetPriorityThread(KeGetCurrentThread(), 11);
    KtPin(0);
    KT_REQUIRE(StartResting(&This, 9, Home));
    for (ULONG i = 1; i < KeNumberProcessors; i++) { /* this thread keeps CPU 0 busy */
        Spinner[i] = (SPINNER){.IsOver = &IsOver};
        KT_REQUIRE(KtCreateThread(&Spinner[i].Thread, "spinner", i == Home ? 10 : 9, i, Spin, &Spinner[i]));
        KT_WAIT_UNTIL(Spinner[i].Rounds != 0);
    }
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    KeSetEvent(&This.Go, IO_NO_INCREMENT, FALSE);
    UCHAR State = This.Thread.Thread->Tcb.State;
    ULONG Queue = This.Thread.Thread->Tcb.Processor;
    KeLowerIrql(OldIrql);
    IsOver = TRUE;
    for (ULONG i = 1; i < KeNumberProcessors; i++) {
        KtJoin(&Spinner[i].Thread);
    }
    KtJoin(&This.Thread);
    KtUnpin();
    KeSetPriorityThread(KeGetCurrentThread(), Old);
    KT_EXPECT_EQ(State, Ready);
    KT_EXPECT_EQ(Queue, Home);
}

/* The other CPUs have nothing to do, and look for something with each tick. */
KTEST(thread_that_is_bound_waits_for_its_cpu) {
    static KEVENT Go;
    static NOTE Note;
    volatile LONG Counter = 0;
    KT_NEEDS_PROCESSORS(2);
    KPRIORITY Old = KeSetPriorityThread(KeGetCurrentThread(), 12);
    KtPin(0);
    KeInitializeEvent(&Go, NotificationEvent, FALSE);
    KT_REQUIRE(StartNote(&Note, 9, 0, &Go, &Counter));
    KeSetEvent(&Go, IO_NO_INCREMENT, FALSE);
    for (ULONG64 End = KiTickCount + 3; KiTickCount < End;) {
        KtSpin();
    }
    LONG Before = Counter;
    KtJoin(&Note.Thread);
    KtUnpin();
    KeSetPriorityThread(KeGetCurrentThread(), Old);
    KT_EXPECT_EQ(Before, 0);
    KT_EXPECT_EQ(Note.Processor, 0);
}

/* Two queues with a thread each, and one CPU that comes to have nothing to do: it takes the better one first. */
KTEST(thread_that_is_more_important_is_taken_first) {
    static RESTING Better, Other;
    static SPINNER Spinner[MAXIMUM_PROCESSORS];
    volatile BOOLEAN IsOver = FALSE, IsFree = FALSE;
    volatile LONG Counter = 0;
    KT_NEEDS_PROCESSORS(3);
    KPRIORITY Old = KeSetPriorityThread(KeGetCurrentThread(), 13);
    KtPin(0);
    KT_REQUIRE(StartResting(&Better, 10, 0) && StartResting(&Other, 9, 1));
    Better.Counter = Other.Counter = &Counter;
    for (ULONG i = 1; i < KeNumberProcessors; i++) { /* this thread keeps CPU 0 busy */
        Spinner[i] = (SPINNER){.IsOver = i == 2 ? &IsFree : &IsOver};
        KT_REQUIRE(KtCreateThread(&Spinner[i].Thread, "spinner", 12, i, Spin, &Spinner[i]));
        KT_WAIT_UNTIL(Spinner[i].Rounds != 0);
    }
    KeSetEvent(&Better.Go, IO_NO_INCREMENT, FALSE);
    KeSetEvent(&Other.Go, IO_NO_INCREMENT, FALSE);
    IsFree = TRUE;
    while (Counter < 2) { /* without giving up this CPU */
        YieldProcessor();
    }
    IsOver = TRUE;
    for (ULONG i = 1; i < KeNumberProcessors; i++) {
        KtJoin(&Spinner[i].Thread);
    }
    KtJoin(&Better.Thread);
    KtJoin(&Other.Thread);
    KtUnpin();
    KeSetPriorityThread(KeGetCurrentThread(), Old);
    KT_EXPECT_EQ(Better.Turn, 1);
    KT_EXPECT_EQ(Other.Turn, 2);
}

KTEST(thread_in_a_queue_is_taken_by_a_cpu_that_becomes_idle) {
    static KT_THREAD Spinner[MAXIMUM_PROCESSORS];
    static SPINNER Late;
    static volatile BOOLEAN IsOver[MAXIMUM_PROCESSORS];
    volatile BOOLEAN IsLateOver = FALSE;
    ULONG Count = KeNumberProcessors;
    KT_NEEDS_PROCESSORS(2);
    for (ULONG i = 0; i < Count; i++) {
        IsOver[i] = FALSE;
        KT_REQUIRE(KtCreateThread(&Spinner[i], "spinner", 7, i, SpinUntilOver, (PVOID)&IsOver[i]));
    }
    KT_WAIT_UNTIL(CountBusyProcessors(Spinner, Count) >= Count - 1);
    Late = (SPINNER){.IsOver = &IsLateOver};
    KT_REQUIRE(KtCreateThread(&Late.Thread, "late", 6, KT_ANY_PROCESSOR, Spin, &Late));
    IsOver[Count - 1] = TRUE; /* the late one may be in any queue */
    KT_WAIT_UNTIL(Late.Rounds != 0);
    IsLateOver = TRUE;
    for (ULONG i = 0; i < Count; i++) {
        IsOver[i] = TRUE;
        KtJoin(&Spinner[i]);
    }
    KtJoin(&Late.Thread);
}

/* Threads of random priorities sleep, yield, move and wake each other on all CPUs; the end is that all of them end. */
static KSEMAPHORE Churn;

static VOID ChurnThread(PVOID Context) {
    KT_RANDOM Random;
    LARGE_INTEGER Tick = {.QuadPart = -1};
    KtSeedRandom(&Random, (ULONG64)Context);
    for (ULONG i = 0; i < KtStress(400); i++) {
        switch (KtRandom(&Random, 6)) {
        case 0:
            KeYieldThread();
            break;
        case 1:
            KeReleaseSemaphore(&Churn, (KPRIORITY)KtRandom(&Random, 4), 1, FALSE);
            break;
        case 2:
            KeWaitForSingleObject(&Churn, Executive, KernelMode, FALSE, &Tick);
            break;
        case 3:
            KtPin(KtRandom(&Random, KeNumberProcessors));
            break;
        case 4:
            KtUnpin();
            break;
        default:
            KeSetPriorityThread(KeGetCurrentThread(), (KPRIORITY)(1 + KtRandom(&Random, 20)));
            break;
        }
    }
    KtUnpin();
}

KTEST(threads_survive_a_churn_of_all_calls) {
    static KT_THREAD Thread[16];
    KeInitializeSemaphore(&Churn, 0, MAXLONG);
    for (ULONG i = 0; i < 16; i++) {
        KT_REQUIRE(
            KtCreateThread(&Thread[i], "churn", (KPRIORITY)(4 + i), KT_ANY_PROCESSOR, ChurnThread, (PVOID)(ULONG64)i));
    }
    for (ULONG i = 0; i < 16; i++) {
        KtJoin(&Thread[i]);
    }
    for (ULONG Number = 0; Number < KeNumberProcessors; Number++) {
        PKPRCB Prcb = KiProcessorBlock[Number];
        for (ULONG Priority = 0; Priority < MAXIMUM_PRIORITY; Priority++) {
            if (!(Prcb->ReadySummary & 1u << Priority)) {
                KT_EXPECT(IsListEmpty(&Prcb->ReadyListHead[Priority]));
            }
        }
    }
}

/* ---- Objects ---- */

static VOID EndWithStatus(PVOID Context) {
    PsTerminateSystemThread((NTSTATUS)(LONG_PTR)Context);
    KT_EXPECT(FALSE);
}

static LONG_PTR CountReferences(PVOID Object) {
    ObReferenceObject(Object);
    return ObDereferenceObject(Object);
}

KTEST(thread_object_outlives_the_thread_by_its_handle) {
    HANDLE Handle;
    CLIENT_ID Cid;
    PETHREAD Thread, Wrong = (PETHREAD)1;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, &Cid, EndWithStatus,
                                           (PVOID)(LONG_PTR)STATUS_CANCELLED);
    KT_REQUIRE(NT_SUCCESS(Status));
    KT_EXPECT_EQ(HandleToULong(Cid.UniqueProcess), 4);
    KT_REQUIRE(NT_SUCCESS(
        ObReferenceObjectByHandle(Handle, THREAD_ALL_ACCESS, *PsThreadType, KernelMode, (PVOID *)&Thread, NULL)));
    KT_EXPECT_EQ(Thread->Cid.UniqueThread, Cid.UniqueThread);
    KT_EXPECT_EQ(KeWaitForSingleObject(Thread, Executive, KernelMode, FALSE, NULL), STATUS_SUCCESS);
    KT_EXPECT_EQ(Thread->ExitStatus, STATUS_CANCELLED);
    KT_EXPECT_EQ(Thread->Tcb.Header.SignalState, 1);
    KT_EXPECT_EQ(ZwClose(Handle), STATUS_SUCCESS);
    KT_EXPECT_EQ(ZwClose(Handle), STATUS_INVALID_HANDLE);
    KT_EXPECT_EQ(ObReferenceObjectByHandle(Handle, 0, NULL, KernelMode, (PVOID *)&Wrong, NULL), STATUS_INVALID_HANDLE);
    KT_EXPECT_EQ(Wrong, NULL);
    KT_WAIT_UNTIL(CountReferences(Thread) == 1); /* the reaper has dropped the thread's own; ours keeps the object */
    KT_EXPECT_EQ(Thread->Tcb.StackBase, 0);
    KT_EXPECT_EQ(ObDereferenceObject(Thread), 0);
}

static volatile KIRQL DeletionIrql;

static VOID DeleteNothing(PVOID Object) {
    DeletionIrql = KeGetCurrentIrql();
    (*(volatile LONG **)Object)[0]++;
}

KTEST(object_is_deleted_once_by_the_last_reference) {
    static OBJECT_TYPE Type = {.Name = "Test", .Delete = DeleteNothing};
    volatile LONG Deletions = 0;
    HANDLE First, Second;
    PVOID Same;
    volatile LONG **Object = ObCreateObject(&Type, sizeof(*Object));
    KT_REQUIRE(Object != NULL);
    *Object = &Deletions;
    KT_REQUIRE(NT_SUCCESS(ObInsertHandle(Object, &First)) && NT_SUCCESS(ObInsertHandle(Object, &Second)));
    KT_EXPECT(First != Second);
    KT_EXPECT_EQ(ObReferenceObjectByHandle(First, 0, *PsThreadType, KernelMode, &Same, NULL),
                 STATUS_OBJECT_TYPE_MISMATCH);
    KT_EXPECT_EQ(ObReferenceObjectByHandle(First, 0, &Type, KernelMode, &Same, NULL), STATUS_SUCCESS);
    KT_EXPECT_EQ(Same, Object);
    ZwClose(First);
    ZwClose(Second);
    KT_EXPECT_EQ(ObDereferenceObject(Object), 1);
    KT_EXPECT_EQ(Deletions, 0);
    DeletionIrql = HIGH_LEVEL;
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    ObDereferenceObject(Object); /* at DISPATCH_LEVEL: a worker thread deletes it */
    KeLowerIrql(OldIrql);
    KT_WAIT_UNTIL(Deletions != 0);
    KT_EXPECT_EQ(DeletionIrql, PASSIVE_LEVEL);
    KT_EXPECT_EQ(Deletions, 1);
}

KTEST(handles_are_reused_and_the_table_grows) {
    ULONG Count = 1200;
    HANDLE *Handles = ExAllocatePoolWithTag(NonPagedPoolNx, Count * sizeof(HANDLE), 0x74736554);
    KT_REQUIRE(Handles != NULL);
    for (ULONG Round = 0; Round < 2; Round++) {
        for (ULONG i = 0; i < Count; i++) {
            KT_EXPECT_EQ(ObInsertHandle(KeGetCurrentThread(), &Handles[i]), STATUS_SUCCESS);
            KT_EXPECT_EQ((ULONG_PTR)Handles[i] & 3, 0);
        }
        for (ULONG i = 0; i < Count; i++) {
            KT_EXPECT_EQ(ZwClose(Handles[i]), STATUS_SUCCESS);
        }
    }
    KT_EXPECT((ULONG_PTR)Handles[0] < 4 * 4096);
    ExFreePoolWithTag(Handles, 0x74736554);
}

static ULONG64 AvailablePages(VOID) {
    MM_STATISTICS Statistics;
    MmQueryStatistics(&Statistics);
    return Statistics.AvailablePages;
}

KTEST(threads_that_have_ended_give_back_their_stacks) {
    ULONG64 Before = 0;
    for (ULONG Round = 0; Round < 2; Round++) {
        for (ULONG i = 0; i < KtStress(256); i++) {
            HANDLE Handle;
            KT_REQUIRE(NT_SUCCESS(PsCreateSystemThread(&Handle, 0, NULL, NULL, NULL, EndWithStatus, NULL)));
            ZwClose(Handle);
        }
        KtSleep(50);
        if (Round == 0) {
            Before = AvailablePages();
        }
    }
    KT_WAIT_UNTIL(AvailablePages() + 64 >= Before); /* 256 stacks are 1536 pages */
}

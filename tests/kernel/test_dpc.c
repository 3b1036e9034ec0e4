/* test_dpc.c: deferred procedure calls: when they run, where, in which order, and how often. */
#include "ktest.h"

#define MANY 8

/* ---- One DPC that writes its findings down ---- */

typedef struct _CALL {
    KDPC Dpc;
    volatile LONG Runs;
    volatile LONG Order; /* the how manieth of all calls it was */
    volatile ULONG Processor;
    volatile KIRQL Irql;
    volatile BOOLEAN IsDpcActive;
    PVOID Argument1, Argument2;
    ULONG64 StackAddress;
} CALL;

static volatile LONG Calls;

static VOID Note(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    CALL *Call = Context;
    KT_EXPECT_EQ(Dpc, &Call->Dpc);
    Call->Argument1 = Argument1;
    Call->Argument2 = Argument2;
    Call->Processor = KeGetCurrentProcessorNumber();
    Call->Irql = KeGetCurrentIrql();
    Call->IsDpcActive = KeIsDpcActive();
    Call->StackAddress = (ULONG64)__builtin_frame_address(0);
    Call->Order = InterlockedIncrement(&Calls);
    InterlockedIncrement(&Call->Runs);
}

static VOID Prepare(CALL *Call, KDPC_IMPORTANCE Importance) {
    *Call = (CALL){0};
    KeInitializeDpc(&Call->Dpc, Note, Call);
    KeSetImportanceDpc(&Call->Dpc, Importance);
}

KTEST(dpc_gets_its_arguments_at_DISPATCH) {
    CALL Call;
    Prepare(&Call, MediumImportance);
    KT_EXPECT(KeInsertQueueDpc(&Call.Dpc, (PVOID)0x1111, (PVOID)0x2222));
    KT_WAIT_UNTIL(Call.Runs != 0);
    KT_EXPECT_EQ(Call.Runs, 1);
    KT_EXPECT_EQ(Call.Argument1, 0x1111);
    KT_EXPECT_EQ(Call.Argument2, 0x2222);
    KT_EXPECT_EQ(Call.Irql, DISPATCH_LEVEL);
    KT_EXPECT(Call.IsDpcActive);
    KT_EXPECT(!KeIsDpcActive());
}

KTEST(dpc_runs_on_the_dpc_stack_of_its_cpu) {
    CALL Call;
    Prepare(&Call, MediumImportance);
    KeInsertQueueDpc(&Call.Dpc, NULL, NULL);
    KT_WAIT_UNTIL(Call.Runs != 0);
    ULONG64 Top = KiProcessorBlock[Call.Processor]->DpcStack;
    KT_EXPECT(Call.StackAddress < Top && Call.StackAddress >= Top - DPC_STACK_SIZE);
}

KTEST(dpc_queued_twice_runs_once_with_the_first_arguments) {
    CALL Call;
    Prepare(&Call, MediumImportance);
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    BOOLEAN IsFirst = KeInsertQueueDpc(&Call.Dpc, (PVOID)1, NULL);
    BOOLEAN IsSecond = KeInsertQueueDpc(&Call.Dpc, (PVOID)2, NULL);
    KeLowerIrql(OldIrql);
    KT_WAIT_UNTIL(Call.Runs != 0);
    KeFlushQueuedDpcs();
    KT_EXPECT(IsFirst);
    KT_EXPECT(!IsSecond);
    KT_EXPECT_EQ(Call.Runs, 1);
    KT_EXPECT_EQ(Call.Argument1, 1);
}

KTEST(dpc_of_medium_importance_run_in_order_of_queuing) {
    CALL Call[MANY];
    KtPin(0);
    for (ULONG Index = 0; Index < MANY; Index++) {
        Prepare(&Call[Index], MediumImportance);
    }
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    for (ULONG Index = 0; Index < MANY; Index++) {
        KeInsertQueueDpc(&Call[Index].Dpc, NULL, NULL);
    }
    KeLowerIrql(OldIrql);
    KT_WAIT_UNTIL(Call[MANY - 1].Runs != 0);
    KtUnpin();
    for (ULONG Index = 1; Index < MANY; Index++) {
        KT_EXPECT_EQ(Call[Index].Order, Call[Index - 1].Order + 1);
    }
}

KTEST(dpc_of_high_importance_overtakes) {
    CALL Medium, MediumHigh, High;
    Prepare(&Medium, MediumImportance);
    Prepare(&MediumHigh, MediumHighImportance);
    Prepare(&High, HighImportance);
    KtPin(0);
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    KeInsertQueueDpc(&Medium.Dpc, NULL, NULL);
    KeInsertQueueDpc(&MediumHigh.Dpc, NULL, NULL);
    KeInsertQueueDpc(&High.Dpc, NULL, NULL);
    KeLowerIrql(OldIrql);
    KT_WAIT_UNTIL(Medium.Runs != 0 && MediumHigh.Runs != 0 && High.Runs != 0);
    KtUnpin();
    KT_EXPECT(High.Order < Medium.Order);
    KT_EXPECT(Medium.Order < MediumHigh.Order);
}

KTEST(dpc_of_low_importance_runs_at_the_next_tick_at_the_latest) {
    CALL Call;
    Prepare(&Call, LowImportance);
    KeInsertQueueDpc(&Call.Dpc, NULL, NULL);
    KT_WAIT_UNTIL(Call.Runs != 0);
    KT_EXPECT_EQ(Call.Runs, 1);
}

KTEST(dpc_runs_on_its_target_cpu) {
    for (KDPC_IMPORTANCE Importance = LowImportance; Importance <= MediumHighImportance; Importance++) {
        for (ULONG Target = 0; Target < KeNumberProcessors; Target++) {
            CALL Call;
            Prepare(&Call, Importance);
            KeSetTargetProcessorDpc(&Call.Dpc, (CCHAR)Target);
            KeInsertQueueDpc(&Call.Dpc, NULL, NULL);
            KT_WAIT_UNTIL(Call.Runs != 0);
            KT_EXPECT_EQ(Call.Processor, Target);
        }
    }
}

KTEST(dpc_removed_from_the_queue_does_not_run) {
    CALL Call;
    Prepare(&Call, MediumImportance);
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    KeInsertQueueDpc(&Call.Dpc, NULL, NULL);
    BOOLEAN WasQueued = KeRemoveQueueDpc(&Call.Dpc);
    BOOLEAN WasStillQueued = KeRemoveQueueDpc(&Call.Dpc);
    KeLowerIrql(OldIrql);
    KeFlushQueuedDpcs();
    KT_EXPECT(WasQueued);
    KT_EXPECT(!WasStillQueued);
    KT_EXPECT_EQ(Call.Runs, 0);
    KT_EXPECT(KeInsertQueueDpc(&Call.Dpc, NULL, NULL));
    KT_WAIT_UNTIL(Call.Runs != 0);
}

KTEST(dpc_that_was_removed_no_longer_counts) {
    CALL Call;
    Prepare(&Call, MediumImportance);
    KIRQL OldIrql = KfRaiseIrql(HIGH_LEVEL);
    LONG Before = KeGetCurrentPrcb()->DpcData.DpcQueueDepth;
    KeInsertQueueDpc(&Call.Dpc, NULL, NULL);
    LONG Queued = KeGetCurrentPrcb()->DpcData.DpcQueueDepth;
    KeRemoveQueueDpc(&Call.Dpc);
    LONG After = KeGetCurrentPrcb()->DpcData.DpcQueueDepth;
    KeLowerIrql(OldIrql);
    KT_EXPECT_EQ(Queued, Before + 1);
    KT_EXPECT_EQ(After, Before);
}

#define ROUNDS 8

/* A tick may come between the call and the look: now and then, not in most rounds. */
KTEST(dpc_of_low_importance_asks_for_nothing_by_itself) {
    CALL Call;
    ULONG AtOnce = 0;
    KtPin(0);
    for (ULONG Round = 0; Round < ROUNDS; Round++) {
        Prepare(&Call, LowImportance);
        KeInsertQueueDpc(&Call.Dpc, NULL, NULL);
        AtOnce += Call.Runs != 0;
        KeFlushQueuedDpcs();
    }
    KtUnpin();
    KT_EXPECT(AtOnce < ROUNDS / 2);
}

/* By a CPU that is busy: an idle one looks for itself. */
KTEST(dpc_of_low_importance_comes_with_the_tick_of_a_busy_cpu) {
    CALL Call;
    KtPin(0);
    for (ULONG Round = 0; Round < 3; Round++) { /* in two ticks a quantum ends, which drains as well */
        Prepare(&Call, LowImportance);
        KeInsertQueueDpc(&Call.Dpc, NULL, NULL);
        for (ULONG64 End = KeGetCurrentPrcb()->ClockTicks + 1; KeGetCurrentPrcb()->ClockTicks < End;) {
            KtSpin();
        }
        KtSpin(); /* the interrupt that the tick asks for */
        KT_EXPECT_EQ(Call.Runs, 1);
    }
    KtUnpin();
}

static volatile BOOLEAN IsSpinning;

static VOID SpinWhile(PVOID Context) {
    IsSpinning = TRUE;
    while (*(volatile BOOLEAN *)Context) {
        YieldProcessor();
    }
}

KTEST(dpc_of_medium_importance_does_not_interrupt_another_cpu) {
    CALL Call;
    KT_THREAD Busy;
    volatile BOOLEAN IsBusy = TRUE;
    ULONG AtOnce = 0;
    KT_NEEDS_PROCESSORS(2);
    KtPin(0);
    IsSpinning = FALSE;
    KT_REQUIRE(KtCreateThread(&Busy, "busy", 9, 1, SpinWhile, (PVOID)&IsBusy));
    while (!IsSpinning) {
        YieldProcessor();
    }
    for (ULONG Round = 0; Round < ROUNDS; Round++) {
        Prepare(&Call, MediumImportance);
        KeSetTargetProcessorDpc(&Call.Dpc, 1);
        KeInsertQueueDpc(&Call.Dpc, NULL, NULL);
        for (ULONG Pause = 0; Pause < 20; Pause++) { /* each is a turn for the other CPU */
            YieldProcessor();
        }
        AtOnce += Call.Runs != 0;
        KeFlushQueuedDpcs();
    }
    IsBusy = FALSE;
    KtJoin(&Busy);
    KtUnpin();
    KT_EXPECT(AtOnce < ROUNDS / 2 || !KtIsSeeded());
}

KTEST(dpc_flush_returns_after_all_have_run_everywhere) {
    for (ULONG Round = 0; Round < KtStress(100); Round++) {
        static CALL Call[MAXIMUM_PROCESSORS];
        for (ULONG Target = 0; Target < KeNumberProcessors; Target++) {
            Prepare(&Call[Target], LowImportance);
            KeSetTargetProcessorDpc(&Call[Target].Dpc, (CCHAR)Target);
            KeInsertQueueDpc(&Call[Target].Dpc, NULL, NULL);
        }
        KeFlushQueuedDpcs();
        for (ULONG Target = 0; Target < KeNumberProcessors; Target++) {
            KT_EXPECT_EQ(Call[Target].Runs, 1);
        }
    }
}

/* The other CPUs are asked for it. Real threads may be held up by the host. */
KTEST(dpc_flush_waits_for_no_tick) {
    ULONG64 Start = KiTickCount;
    for (ULONG Round = 0; Round < 4; Round++) {
        KeFlushQueuedDpcs();
    }
    KT_EXPECT(KiTickCount - Start < 3 || !KtIsSeeded());
}

/* ---- A DPC that queues itself again, on the next CPU each time ---- */

typedef struct _TRAVELLER {
    KDPC Dpc;
    volatile LONG Left;
    volatile LONG Runs;
    volatile KAFFINITY Visited;
} TRAVELLER;

static VOID Travel(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    TRAVELLER *Traveller = Context;
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    Traveller->Visited |= (KAFFINITY)1 << KeGetCurrentProcessorNumber();
    Traveller->Runs++;
    if (--Traveller->Left > 0) {
        ULONG Next = (KeGetCurrentProcessorNumber() + 1) % KeNumberProcessors;
        KeSetTargetProcessorDpc(Dpc, (CCHAR)Next);
        KT_EXPECT(KeInsertQueueDpc(Dpc, NULL, NULL)); /* while it runs it is in no queue */
    }
}

KTEST(dpc_may_queue_itself_again) {
    LONG Rounds = (LONG)KtStress(1000) + MAXIMUM_PROCESSORS;
    TRAVELLER Traveller = {.Left = Rounds};
    KeInitializeDpc(&Traveller.Dpc, Travel, &Traveller);
    KeSetImportanceDpc(&Traveller.Dpc, HighImportance);
    KeInsertQueueDpc(&Traveller.Dpc, NULL, NULL);
    KT_WAIT_UNTIL(Traveller.Left == 0);
    KeFlushQueuedDpcs();
    KT_EXPECT_EQ(Traveller.Runs, Rounds);
    KT_EXPECT_EQ(Traveller.Visited, KeActiveProcessors);
}

/* ---- All CPUs queue one DPC: each success of KeInsertQueueDpc is one run, no more and no less ---- */

typedef struct _COUNTED {
    KDPC Dpc;
    volatile LONG Queued, Removed, Runs;
} COUNTED;

static VOID CountRun(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    InterlockedIncrement(&((COUNTED *)Context)->Runs);
}

static VOID QueueAndRemove(ULONG Processor, PVOID Context) {
    COUNTED *Counted = Context;
    KT_RANDOM Random;
    KtSeedRandom(&Random, Processor);
    for (ULONG Round = 0; Round < KtStress(2000); Round++) {
        if (KtRandom(&Random, 4) != 0) {
            if (KeInsertQueueDpc(&Counted->Dpc, NULL, NULL)) {
                InterlockedIncrement(&Counted->Queued);
            }
        } else if (KeRemoveQueueDpc(&Counted->Dpc)) {
            InterlockedIncrement(&Counted->Removed);
        }
    }
}

KTEST(dpc_runs_once_for_each_time_it_was_queued) {
    COUNTED Counted = {0};
    KeInitializeDpc(&Counted.Dpc, CountRun, &Counted);
    KeSetTargetProcessorDpc(&Counted.Dpc, 0);
    KtRunOnAllCpus(QueueAndRemove, &Counted);
    KeFlushQueuedDpcs();
    KT_EXPECT_EQ(Counted.Runs, Counted.Queued - Counted.Removed);
}

KTEST(dpc_of_a_removed_one_leaves_the_others) {
    CALL Call[3];
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    for (ULONG Index = 0; Index < 3; Index++) {
        Prepare(&Call[Index], MediumImportance);
        KeInsertQueueDpc(&Call[Index].Dpc, NULL, NULL);
    }
    KeRemoveQueueDpc(&Call[1].Dpc);
    KeLowerIrql(OldIrql);
    KeFlushQueuedDpcs();
    KT_EXPECT_EQ(Call[0].Runs, 1);
    KT_EXPECT_EQ(Call[1].Runs, 0);
    KT_EXPECT_EQ(Call[2].Runs, 1);
}

/* ---- Threaded DPCs ---- */

typedef struct _THREADED {
    KDPC Dpc;
    volatile LONG Runs;
    volatile KIRQL Irql;
    volatile KPRIORITY Priority;
    volatile ULONG Processor;
    PVOID volatile Argument;
    PVOID volatile InQueue;
} THREADED;

static VOID NoteThreaded(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    THREADED *Call = Context;
    UNREFERENCED_PARAMETER(Argument2);
    Call->Irql = KeGetCurrentIrql();
    Call->Priority = KeQueryPriorityThread(KeGetCurrentThread());
    Call->Processor = KeGetCurrentProcessorNumber();
    Call->Argument = Argument1;
    Call->InQueue = Dpc->DpcData;
    InterlockedIncrement(&Call->Runs);
}

KTEST(dpc_that_is_threaded_runs_in_a_thread_of_its_cpu) {
    static THREADED Call;
    for (ULONG Number = 0; Number < KeNumberProcessors; Number++) {
        PROCESSOR_NUMBER Target = {.Number = (UCHAR)Number};
        Call = (THREADED){0};
        KeInitializeThreadedDpc(&Call.Dpc, NoteThreaded, &Call);
        KT_EXPECT_EQ(Call.Dpc.Type, 0x18);
        KT_EXPECT_EQ(KeSetTargetProcessorDpcEx(&Call.Dpc, &Target), STATUS_SUCCESS);
        KT_EXPECT(KeInsertQueueDpc(&Call.Dpc, &Call, NULL));
        KT_WAIT_UNTIL(Call.Runs == 1);
        KT_EXPECT_EQ(Call.Irql, PASSIVE_LEVEL);
        KT_EXPECT_EQ(Call.Priority, HIGH_PRIORITY);
        KT_EXPECT_EQ(Call.Processor, Number);
        KT_EXPECT_EQ(Call.Argument, &Call);
        KT_EXPECT_EQ(Call.InQueue, NULL);
    }
}

KTEST(dpc_that_is_threaded_is_removed_and_flushed) {
    static THREADED Call;
    Call = (THREADED){0};
    KeInitializeThreadedDpc(&Call.Dpc, NoteThreaded, &Call);
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    BOOLEAN First = KeInsertQueueDpc(&Call.Dpc, NULL, NULL), Second = KeInsertQueueDpc(&Call.Dpc, NULL, NULL);
    BOOLEAN IsRemoved = KeRemoveQueueDpc(&Call.Dpc), IsRemovedAgain = KeRemoveQueueDpc(&Call.Dpc);
    KeLowerIrql(OldIrql);
    KeFlushQueuedDpcs();
    KT_EXPECT(First && !Second && IsRemoved && !IsRemovedAgain);
    KT_EXPECT_EQ(Call.Runs, 0);
    for (LONG i = 1; i <= (LONG)KtStress(100); i++) {
        KeInsertQueueDpc(&Call.Dpc, NULL, NULL);
        KeFlushQueuedDpcs();
        KT_EXPECT_EQ(Call.Runs, i);
    }
}

KTEST(dpc_target_by_number_must_be_there) {
    static THREADED Call;
    PROCESSOR_NUMBER Missing = {.Number = (UCHAR)KeNumberProcessors}, WrongGroup = {.Group = 1};
    KeInitializeDpc(&Call.Dpc, NoteThreaded, &Call);
    KT_EXPECT_EQ(KeSetTargetProcessorDpcEx(&Call.Dpc, &Missing), STATUS_INVALID_PARAMETER);
    KT_EXPECT_EQ(KeSetTargetProcessorDpcEx(&Call.Dpc, &WrongGroup), STATUS_INVALID_PARAMETER);
    KT_EXPECT_EQ(Call.Dpc.Number, 0);
}

/* A mutex that is taken in a DPC must be released there; 0 polls. */
static VOID TakeMutexInDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    LARGE_INTEGER Poll = {.QuadPart = 0};
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeWaitForSingleObject(Context, Executive, KernelMode, FALSE, &Poll);
}

/* ---- Stops of the machine ---- */

static VOID LeaveAtApcLevel(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    __writecr8(SYNCH_LEVEL);
}

KTEST_CRASH(dpc_returns_at_another_level) {
    static KDPC Dpc;
    KeInitializeDpc(&Dpc, LeaveAtApcLevel, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    KtSleep(100);
}

static VOID SpinForEver(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    for (;;) {
        YieldProcessor();
    }
}

KTEST_CRASH(dpc_that_never_ends) {
    static KDPC Dpc;
    KeInitializeDpc(&Dpc, SpinForEver, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    KT_WAIT_UNTIL(FALSE);
}

static VOID LeaveApcsDisabled(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeEnterCriticalRegion();
}

KTEST_CRASH(dpc_returns_in_a_critical_region) {
    static KDPC Dpc;
    KeInitializeDpc(&Dpc, LeaveApcsDisabled, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    KtSleep(100);
}

KTEST_CRASH(dpc_of_a_timer_returns_in_a_critical_region) {
    static KDPC Dpc;
    static KTIMER Timer;
    LARGE_INTEGER Due = {.QuadPart = -1};
    KeInitializeDpc(&Dpc, LeaveApcsDisabled, NULL);
    KeInitializeTimer(&Timer);
    KeSetTimer(&Timer, Due, &Dpc);
    KtSleep(1000);
}

KTEST_CRASH(dpc_takes_a_mutex_along) {
    static KDPC Dpc;
    static KMUTEX Mutex;
    KeInitializeMutex(&Mutex, 0);
    KeInitializeDpc(&Dpc, TakeMutexInDpc, &Mutex);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    KtSleep(100);
}

KTEST_CRASH(dpc_without_a_routine_is_queued) {
    static KDPC Dpc;
    KeInitializeDpc(&Dpc, NULL, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
}

KTEST_CRASH(dpc_is_queued_to_a_cpu_that_is_not_there) {
    static KDPC Dpc;
    KeInitializeDpc(&Dpc, LeaveApcsDisabled, NULL);
    KeSetTargetProcessorDpc(&Dpc, 40);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
}

/* ---- Watchdogs ---- */

static VOID QueueAgain(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeInsertQueueDpc(Dpc, NULL, NULL);
}

KTEST_CRASH(dpc_that_queues_itself_for_ever) {
    static KDPC Dpc;
    KeInitializeDpc(&Dpc, QueueAgain, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    KT_WAIT_UNTIL(FALSE);
}

KTEST_CRASH(thread_that_spins_at_DISPATCH) {
    KeRaiseIrqlToDpcLevel();
    for (;;) {
        YieldProcessor();
    }
}

static VOID SpinForTicks(ULONG Count) {
    volatile const ULONG64 *Ticks = (volatile const ULONG64 *)&KeGetCurrentPrcb()->ClockTicks;
    for (ULONG64 End = *Ticks + Count; *Ticks < End;) {
        YieldProcessor();
    }
}

/* More ticks at DISPATCH_LEVEL than the limit, but not in one go: no watchdog bites, and the test ends by its own hand. */
KTEST_CRASH(thread_that_comes_below_DISPATCH_now_and_then) {
    KtPin(1);
    for (ULONG Spell = 0; Spell < 2; Spell++) {
        KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
        SpinForTicks(40);
        KeLowerIrql(OldIrql);
        SpinForTicks(3);
    }
    KeBugCheckEx(MANUALLY_INITIATED_CRASH, 1, 2, 3, 4);
}

KTEST_CRASH(thread_that_spins_without_clock_interrupts) {
    KtPin(1);
    KfRaiseIrql(HIGH_LEVEL);
    for (;;) {
        YieldProcessor();
    }
}

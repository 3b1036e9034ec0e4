/* test_apc.c: asynchronous procedure calls: at which level, into which wait, and kept out by what. */
#include "ktest.h"

typedef struct _APC_NOTE {
    KAPC Apc;
    volatile LONG KernelRuns, NormalRuns;
    volatile KIRQL KernelIrql, NormalIrql;
    PKTHREAD Thread;
} APC_NOTE;

static VOID NoteKernel(PKAPC Apc, PKNORMAL_ROUTINE *NormalRoutine, PVOID *NormalContext, PVOID *Argument1,
                       PVOID *Argument2) {
    APC_NOTE *Note = CONTAINING_RECORD(Apc, APC_NOTE, Apc);
    UNREFERENCED_PARAMETER(NormalRoutine);
    UNREFERENCED_PARAMETER(NormalContext);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    Note->KernelIrql = KeGetCurrentIrql();
    Note->Thread = KeGetCurrentThread();
    InterlockedIncrement(&Note->KernelRuns);
}

static VOID NoteNormal(PVOID Context, PVOID Argument1, PVOID Argument2) {
    APC_NOTE *Note = Context;
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    Note->NormalIrql = KeGetCurrentIrql();
    InterlockedIncrement(&Note->NormalRuns);
}

static VOID Prepare(APC_NOTE *Note, PKTHREAD Thread, BOOLEAN IsNormal) {
    *Note = (APC_NOTE){0};
    KeInitializeApc(&Note->Apc, Thread, OriginalApcEnvironment, NoteKernel, NULL, IsNormal ? NoteNormal : NULL,
                    KernelMode, Note);
}

KTEST(apc_runs_at_APC_LEVEL_and_its_normal_routine_at_PASSIVE) {
    APC_NOTE Note;
    Prepare(&Note, KeGetCurrentThread(), TRUE);
    KT_EXPECT(KeInsertQueueApc(&Note.Apc, NULL, NULL, IO_NO_INCREMENT));
    KT_WAIT_UNTIL(Note.NormalRuns != 0);
    KT_EXPECT_EQ(Note.KernelIrql, APC_LEVEL);
    KT_EXPECT_EQ(Note.NormalIrql, PASSIVE_LEVEL);
    KT_EXPECT_EQ(Note.Thread, KeGetCurrentThread());
}

KTEST(apc_is_kept_out_by_APC_LEVEL_and_by_regions) {
    APC_NOTE Special, Normal;
    KIRQL OldIrql;
    Prepare(&Special, KeGetCurrentThread(), FALSE);
    Prepare(&Normal, KeGetCurrentThread(), TRUE);
    KeRaiseIrql(APC_LEVEL, &OldIrql);
    KeInsertQueueApc(&Special.Apc, NULL, NULL, IO_NO_INCREMENT);
    LONG Raised = Special.KernelRuns;
    KeLowerIrql(OldIrql);
    KT_WAIT_UNTIL(Special.KernelRuns == 1);
    KT_EXPECT_EQ(Raised, 0);
    KeEnterCriticalRegion();
    KeInsertQueueApc(&Normal.Apc, NULL, NULL, IO_NO_INCREMENT);
    KeInsertQueueApc(&Special.Apc, NULL, NULL, IO_NO_INCREMENT);
    KT_WAIT_UNTIL(Special.KernelRuns == 2);
    LONG InRegion = Normal.KernelRuns;
    KeLeaveCriticalRegion();
    KT_WAIT_UNTIL(Normal.NormalRuns == 1);
    KT_EXPECT_EQ(InRegion, 0);
}

KTEST(apc_kept_out_by_a_mutex_comes_when_it_is_released) {
    static KMUTEX Mutex;
    APC_NOTE Normal;
    KeInitializeMutex(&Mutex, 0);
    KeWaitForMutexObject(&Mutex, Executive, KernelMode, FALSE, NULL);
    Prepare(&Normal, KeGetCurrentThread(), TRUE);
    KeInsertQueueApc(&Normal.Apc, NULL, NULL, IO_NO_INCREMENT);
    LONG Owned = Normal.KernelRuns;
    KeReleaseMutex(&Mutex, FALSE);
    LONG Released = Normal.NormalRuns;
    KT_WAIT_UNTIL(Normal.NormalRuns == 1);
    KT_EXPECT_EQ(Owned, 0);
    KT_EXPECT_EQ(Released, 1); /* at once, not with the next wait */
}

static volatile LONG NestedRuns;

static VOID QueueAnother(PVOID Context, PVOID Argument1, PVOID Argument2) {
    APC_NOTE *Inner = Context;
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeInsertQueueApc(&Inner->Apc, NULL, NULL, IO_NO_INCREMENT);
    KtSleep(1);
    NestedRuns = Inner->KernelRuns + Inner->NormalRuns;
}

KTEST(apc_normal_ones_come_one_after_the_other) {
    APC_NOTE Outer = {0}, Inner;
    Prepare(&Inner, KeGetCurrentThread(), TRUE);
    NestedRuns = -1;
    KeInitializeApc(&Outer.Apc, KeGetCurrentThread(), OriginalApcEnvironment, NoteKernel, NULL, QueueAnother,
                    KernelMode, &Inner);
    KeInsertQueueApc(&Outer.Apc, NULL, NULL, IO_NO_INCREMENT);
    KT_WAIT_UNTIL(Inner.NormalRuns == 1);
    KT_EXPECT_EQ(NestedRuns, 0);
}

static volatile LONG OrderedRuns;

static VOID NoteOrder(PKAPC Apc, PKNORMAL_ROUTINE *NormalRoutine, PVOID *NormalContext, PVOID *Argument1,
                      PVOID *Argument2) {
    UNREFERENCED_PARAMETER(NormalRoutine);
    UNREFERENCED_PARAMETER(NormalContext);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    CONTAINING_RECORD(Apc, APC_NOTE, Apc)->KernelRuns = InterlockedIncrement(&OrderedRuns);
}

KTEST(apc_special_ones_come_in_order_and_before_normal_ones) {
    APC_NOTE Note[4];
    KIRQL OldIrql;
    OrderedRuns = 0;
    KeRaiseIrql(APC_LEVEL, &OldIrql);
    for (ULONG i = 0; i < 4; i++) { /* the first is the normal one */
        Note[i] = (APC_NOTE){0};
        KeInitializeApc(&Note[i].Apc, KeGetCurrentThread(), OriginalApcEnvironment, NoteOrder, NULL,
                        i == 0 ? NoteNormal : NULL, KernelMode, &Note[i]);
        KeInsertQueueApc(&Note[i].Apc, NULL, NULL, IO_NO_INCREMENT);
    }
    KeLowerIrql(OldIrql);
    KT_WAIT_UNTIL(Note[0].NormalRuns == 1);
    for (ULONG i = 0; i < 4; i++) {
        KT_EXPECT_EQ(Note[i].KernelRuns, i == 0 ? 4 : i);
    }
}

typedef struct _TIMED_WAIT {
    KT_THREAD Thread;
    KEVENT Event;
    volatile BOOLEAN IsOver;
    NTSTATUS Status;
} TIMED_WAIT;

static VOID WaitTimed(PVOID Context) {
    TIMED_WAIT *Wait = Context;
    LARGE_INTEGER Timeout = {.QuadPart = -2000000}; /* 200 ms: 13 ticks */
    Wait->Status = KeWaitForSingleObject(&Wait->Event, Executive, KernelMode, FALSE, &Timeout);
    Wait->IsOver = TRUE;
}

KTEST(apc_does_not_begin_a_time_out_anew) {
    TIMED_WAIT Wait = {0};
    APC_NOTE Note;
    KeInitializeEvent(&Wait.Event, NotificationEvent, FALSE);
    KT_REQUIRE(KtCreateThread(&Wait.Thread, "waiter", 9, KT_ANY_PROCESSOR, WaitTimed, &Wait));
    Prepare(&Note, &Wait.Thread.Thread->Tcb, FALSE);
    ULONG Apcs = 0;
    while (!Wait.IsOver && Apcs < 60) { /* one in each tick, for far longer than the time-out */
        Apcs += KeInsertQueueApc(&Note.Apc, NULL, NULL, IO_NO_INCREMENT);
        KtSleep(1);
    }
    KT_EXPECT(Wait.IsOver);
    KeSetEvent(&Wait.Event, IO_NO_INCREMENT, FALSE);
    KtJoin(&Wait.Thread);
    KT_EXPECT_EQ(Wait.Status, STATUS_TIMEOUT);
    KT_EXPECT(Apcs > 2);
}

typedef struct _RANKED_WAIT {
    KT_THREAD Thread;
    PKEVENT Event;
    KIRQL Irql;
    volatile LONG *Order;
    LONG Turn;
} RANKED_WAIT;

static VOID WaitAtIrql(PVOID Context) {
    RANKED_WAIT *Wait = Context;
    KIRQL OldIrql;
    KeRaiseIrql(Wait->Irql, &OldIrql);
    KeWaitForSingleObject(Wait->Event, Executive, KernelMode, FALSE, NULL);
    Wait->Turn = InterlockedIncrement(Wait->Order);
    KeLowerIrql(OldIrql);
}

KTEST(apc_leaves_a_wait_at_APC_LEVEL_its_place) {
    KEVENT Event;
    RANKED_WAIT Wait[2];
    volatile LONG Order = 0;
    APC_NOTE Note;
    KeInitializeEvent(&Event, SynchronizationEvent, FALSE);
    for (ULONG i = 0; i < 2; i++) {
        Wait[i] = (RANKED_WAIT){.Event = &Event, .Irql = i == 0 ? APC_LEVEL : PASSIVE_LEVEL, .Order = &Order};
        KT_REQUIRE(KtCreateThread(&Wait[i].Thread, "waiter", 9, KT_ANY_PROCESSOR, WaitAtIrql, &Wait[i]));
        KT_WAIT_UNTIL(Wait[i].Thread.Thread->Tcb.State == Waiting &&
                      Wait[i].Thread.Thread->Tcb.WaitIrql == Wait[i].Irql);
    }
    Prepare(&Note, &Wait[0].Thread.Thread->Tcb, FALSE);
    KeInsertQueueApc(&Note.Apc, NULL, NULL, IO_NO_INCREMENT);
    KtSleep(40); /* in which it would wait again, behind the other one */
    KT_EXPECT_EQ(Note.KernelRuns, 0);
    for (LONG i = 1; i <= 2; i++) {
        KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
        KT_WAIT_UNTIL(Order == i);
    }
    for (ULONG i = 0; i < 2; i++) {
        KtJoin(&Wait[i].Thread);
        KT_EXPECT_EQ(Wait[i].Turn, i + 1);
    }
    KT_EXPECT_EQ(Note.KernelRuns, 1);
}

static VOID WaitForEvent(PVOID Context) {
    KT_EXPECT_EQ(KeWaitForSingleObject(Context, Executive, KernelMode, FALSE, NULL), STATUS_SUCCESS);
}

KTEST(apc_interrupts_a_wait_that_goes_on_afterwards) {
    static KEVENT Event;
    APC_NOTE Note;
    KT_THREAD Waiter;
    KeInitializeEvent(&Event, SynchronizationEvent, FALSE);
    KT_REQUIRE(KtCreateThread(&Waiter, "waiter", 8, KT_ANY_PROCESSOR, WaitForEvent, &Event));
    Prepare(&Note, &Waiter.Thread->Tcb, TRUE);
    for (LONG i = 1; i <= (LONG)KtStress(100);
         i++) { /* caught waiting, or just before it waits: it must not be missed */
        KT_EXPECT(KeInsertQueueApc(&Note.Apc, NULL, NULL, IO_NO_INCREMENT));
        KT_WAIT_UNTIL(Note.NormalRuns == i);
        KT_EXPECT_EQ(Note.Thread, &Waiter.Thread->Tcb);
    }
    PETHREAD Thread = Waiter.Thread;
    ObReferenceObject(Thread);
    KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
    KtJoin(&Waiter);
    KT_EXPECT(!KeInsertQueueApc(&Note.Apc, NULL, NULL, IO_NO_INCREMENT)); /* it has ended */
    ObDereferenceObject(Thread);
}

static VOID SpinUntilOver(PVOID Context) {
    volatile LONG *Steps = Context;
    Steps[0] = 1;
    while (Steps[1] == 0) {
        KtSpin();
    }
}

/* Queued while it is ready but does not run: it comes when the thread is switched to, which then asks for nothing. */
KTEST(apc_for_a_ready_thread_comes_with_the_switch) {
    static volatile LONG Steps[2];
    APC_NOTE Note;
    KT_THREAD Ready;
    Steps[0] = Steps[1] = 0;
    KPRIORITY Old = KeSetPriorityThread(KeGetCurrentThread(), 12);
    KtPin(0);
    KT_REQUIRE(KtCreateThread(&Ready, "ready", 9, 0, SpinUntilOver, (PVOID)Steps));
    KT_WAIT_UNTIL(Steps[0] != 0); /* and has preempted it then */
    Prepare(&Note, &Ready.Thread->Tcb, FALSE);
    KeInsertQueueApc(&Note.Apc, NULL, NULL, IO_NO_INCREMENT);
    KtSleep(50);
    LONG Runs = Note.KernelRuns;
    Steps[1] = 1;
    KtJoin(&Ready);
    KtUnpin();
    KeSetPriorityThread(KeGetCurrentThread(), Old);
    KT_EXPECT_EQ(Runs, 1);
}

static VOID WaitOften(PVOID Context) {
    volatile BOOLEAN *IsOver = Context;
    while (!*IsOver) {
        LARGE_INTEGER Tick = {.QuadPart = -1};
        KeDelayExecutionThread(KernelMode, FALSE, &Tick);
    }
}

KTEST(apc_is_never_slept_over) {
    static volatile BOOLEAN IsOver;
    APC_NOTE Note;
    KT_THREAD Waiter;
    IsOver = FALSE;
    KT_REQUIRE(KtCreateThread(&Waiter, "waiter", 9, KeNumberProcessors - 1, WaitOften, (PVOID)&IsOver));
    Prepare(&Note, &Waiter.Thread->Tcb, FALSE);
    for (LONG i = 1; i <= (LONG)KtStress(64); i++) {
        KT_EXPECT(KeInsertQueueApc(&Note.Apc, NULL, NULL, IO_NO_INCREMENT));
        KT_WAIT_UNTIL(Note.KernelRuns == i);
    }
    IsOver = TRUE;
    KtJoin(&Waiter);
}

static VOID SetOnApc(PKAPC Apc, PKNORMAL_ROUTINE *NormalRoutine, PVOID *NormalContext, PVOID *Argument1,
                     PVOID *Argument2) {
    UNREFERENCED_PARAMETER(Apc);
    UNREFERENCED_PARAMETER(NormalRoutine);
    UNREFERENCED_PARAMETER(NormalContext);
    UNREFERENCED_PARAMETER(Argument2);
    KeSetEvent(*Argument1, IO_NO_INCREMENT, FALSE);
}

/* IF = 0 holds the APC's interrupt back until the dispatcher lock is held: then the wait must look for the APC itself. */
KTEST(apc_in_flight_is_not_slept_over_after_Wait) {
    KEVENT First, Second;
    KAPC Apc;
    LARGE_INTEGER Timeout = {.QuadPart = -10000 * 1000};
    KeInitializeEvent(&First, NotificationEvent, FALSE);
    KeInitializeEvent(&Second, NotificationEvent, FALSE);
    KeInitializeApc(&Apc, KeGetCurrentThread(), OriginalApcEnvironment, SetOnApc, NULL, NULL, KernelMode, NULL);
    _disable();
    KeInsertQueueApc(&Apc, &Second, NULL, IO_NO_INCREMENT);
    KeSetEvent(&First, IO_NO_INCREMENT, TRUE);
    _enable();
    NTSTATUS Status = KeWaitForSingleObject(&Second, Executive, KernelMode, FALSE, &Timeout);
    KT_EXPECT_EQ(Status, STATUS_SUCCESS);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

KTEST(apc_removed_from_its_queue_does_not_run) {
    APC_NOTE First, Second;
    KIRQL OldIrql;
    Prepare(&First, KeGetCurrentThread(), FALSE);
    Prepare(&Second, KeGetCurrentThread(), FALSE);
    KeRaiseIrql(APC_LEVEL, &OldIrql);
    KT_EXPECT(KeInsertQueueApc(&First.Apc, NULL, NULL, IO_NO_INCREMENT));
    KT_EXPECT(!KeInsertQueueApc(&First.Apc, NULL, NULL, IO_NO_INCREMENT));
    KT_EXPECT(KeInsertQueueApc(&Second.Apc, NULL, NULL, IO_NO_INCREMENT));
    KT_EXPECT(KeRemoveQueueApc(&First.Apc));
    KT_EXPECT(!KeRemoveQueueApc(&First.Apc));
    KeLowerIrql(OldIrql);
    KT_WAIT_UNTIL(Second.KernelRuns == 1);
    KT_EXPECT_EQ(First.KernelRuns, 0);
}

/* ---- User APCs and alerts: the ends of an alertable wait ---- */

static volatile LONG Rundowns;

static VOID CountRundown(PKAPC Apc) {
    UNREFERENCED_PARAMETER(Apc);
    InterlockedIncrement(&Rundowns);
}

typedef struct _ALERT_WAIT {
    KT_THREAD Thread;
    KEVENT Event;
    KPROCESSOR_MODE Mode;
    BOOLEAN Alertable;
    volatile LONG Status;
} ALERT_WAIT;

static VOID WaitAlertably(PVOID Context) {
    ALERT_WAIT *Wait = Context;
    Wait->Status = KeWaitForSingleObject(&Wait->Event, Executive, Wait->Mode, Wait->Alertable, NULL);
}

static BOOLEAN StartAlertWait(ALERT_WAIT *Wait, KPROCESSOR_MODE Mode, BOOLEAN Alertable) {
    Wait->Mode = Mode;
    Wait->Alertable = Alertable;
    Wait->Status = -1;
    KeInitializeEvent(&Wait->Event, NotificationEvent, FALSE);
    if (!KtCreateThread(&Wait->Thread, "alerted", 8, KT_ANY_PROCESSOR, WaitAlertably, Wait)) {
        return FALSE;
    }
    KT_WAIT_UNTIL(Wait->Thread.Thread->Tcb.State == Waiting && Wait->Thread.Thread->Tcb.WaitReason == Executive);
    return TRUE;
}

KTEST(apc_for_user_mode_ends_only_an_alertable_wait_of_user_mode) {
    static ALERT_WAIT Wait;
    static KAPC Apc;
    static const struct {
        KPROCESSOR_MODE Mode;
        BOOLEAN Alertable;
        NTSTATUS Expected;
    } Cases[] = {{KernelMode, FALSE, STATUS_SUCCESS},
                 {KernelMode, TRUE, STATUS_SUCCESS},
                 {UserMode, FALSE, STATUS_SUCCESS},
                 {UserMode, TRUE, STATUS_USER_APC}};
    Rundowns = 0;
    for (ULONG i = 0; i < RTL_NUMBER_OF(Cases); i++) {
        KT_REQUIRE(StartAlertWait(&Wait, Cases[i].Mode, Cases[i].Alertable));
        KeInitializeApc(&Apc, &Wait.Thread.Thread->Tcb, OriginalApcEnvironment, NoteKernel, CountRundown, NoteNormal,
                        UserMode, NULL);
        KT_EXPECT(KeInsertQueueApc(&Apc, NULL, NULL, IO_NO_INCREMENT));
        KeSetEvent(&Wait.Event, IO_NO_INCREMENT, FALSE);
        KtJoin(&Wait.Thread);
        KT_EXPECT_EQ(Wait.Status, Cases[i].Expected);
        KT_EXPECT_EQ(Rundowns, i + 1); /* never run: there is no user mode */
    }
}

#define LATE_APCS 64

static volatile BOOLEAN MayEnd;

static VOID EndWhenTold(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    while (!MayEnd) {
        YieldProcessor();
    }
}

/* An APC that was queued comes back before the thread's end can be seen. */
KTEST(apc_for_user_mode_is_given_back_by_a_thread_that_ends_meanwhile) {
    static KAPC Apcs[LATE_APCS];
    KT_NEEDS_PROCESSORS(2);
    for (ULONG Round = 0; Round < KtRendezvous(60); Round++) {
        KT_THREAD Ending;
        LONG Queued = 0;
        Rundowns = 0;
        MayEnd = FALSE;
        KtPin(0);
        KT_REQUIRE(KtCreateThread(&Ending, "ending", 8, 1, EndWhenTold, NULL));
        for (ULONG i = 0; i < LATE_APCS; i++) {
            KeInitializeApc(&Apcs[i], &Ending.Thread->Tcb, OriginalApcEnvironment, NoteKernel, CountRundown, NoteNormal,
                            UserMode, NULL);
        }
        MayEnd = TRUE;
        for (ULONG i = 0; i < LATE_APCS; i++) {
            Queued += KeInsertQueueApc(&Apcs[i], NULL, NULL, IO_NO_INCREMENT);
        }
        KtUnpin();
        KtJoin(&Ending);
        KT_EXPECT_EQ(Rundowns, Queued);
    }
}

KTEST(alert_ends_an_alertable_wait) {
    static ALERT_WAIT Wait;
    static const struct {
        KPROCESSOR_MODE Mode;
        BOOLEAN Alertable;
        KPROCESSOR_MODE Alert;
        NTSTATUS Expected;
    } Cases[] = {{KernelMode, FALSE, KernelMode, STATUS_SUCCESS},
                 {KernelMode, TRUE, KernelMode, STATUS_ALERTED},
                 {KernelMode, TRUE, UserMode, STATUS_SUCCESS},
                 {UserMode, TRUE, KernelMode, STATUS_ALERTED},
                 {UserMode, TRUE, UserMode, STATUS_ALERTED}};
    for (ULONG i = 0; i < RTL_NUMBER_OF(Cases); i++) {
        KT_REQUIRE(StartAlertWait(&Wait, Cases[i].Mode, Cases[i].Alertable));
        KT_EXPECT(!KeAlertThread(&Wait.Thread.Thread->Tcb, Cases[i].Alert));
        KeSetEvent(&Wait.Event, IO_NO_INCREMENT, FALSE);
        KtJoin(&Wait.Thread);
        KT_EXPECT_EQ(Wait.Status, Cases[i].Expected);
    }
}

KTEST(alert_before_the_wait_is_kept_for_it) {
    PKTHREAD Thread = KeGetCurrentThread();
    LARGE_INTEGER Tick = {.QuadPart = -1};
    KT_EXPECT(!KeAlertThread(Thread, KernelMode));
    KT_EXPECT(KeAlertThread(Thread, KernelMode));
    KT_EXPECT_EQ(KeDelayExecutionThread(KernelMode, FALSE, &Tick), STATUS_SUCCESS);
    KT_EXPECT_EQ(KeDelayExecutionThread(KernelMode, TRUE, &Tick), STATUS_ALERTED);
    KT_EXPECT_EQ(KeDelayExecutionThread(KernelMode, TRUE, &Tick), STATUS_SUCCESS);
    KeAlertThread(Thread, KernelMode);
    KT_EXPECT(KeTestAlertThread(KernelMode));
    KT_EXPECT(!KeTestAlertThread(KernelMode));
}

/* An object that is signalled comes before an alert, and an alert before a time-out. */
KTEST(alert_comes_before_a_time_out_of_nothing) {
    LARGE_INTEGER Now = {.QuadPart = 0}, Past = {.QuadPart = 1};
    KEVENT Event, Set;
    PVOID Objects[] = {&Event, &Event};
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    KeInitializeEvent(&Set, NotificationEvent, TRUE);
    KeAlertThread(KeGetCurrentThread(), KernelMode);
    KT_EXPECT_EQ(KeWaitForSingleObject(&Set, Executive, KernelMode, TRUE, &Now), STATUS_SUCCESS);
    KT_EXPECT_EQ(KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, &Now), STATUS_TIMEOUT);
    KT_EXPECT_EQ(KeWaitForSingleObject(&Event, Executive, KernelMode, TRUE, &Now), STATUS_ALERTED);
    KT_EXPECT_EQ(KeWaitForSingleObject(&Event, Executive, KernelMode, TRUE, &Past), STATUS_TIMEOUT);
    KeAlertThread(KeGetCurrentThread(), KernelMode);
    KT_EXPECT_EQ(KeWaitForMultipleObjects(2, Objects, WaitAny, Executive, KernelMode, TRUE, &Past, NULL),
                 STATUS_ALERTED);
    KT_EXPECT_EQ(KeWaitForMultipleObjects(2, Objects, WaitAll, Executive, KernelMode, TRUE, &Now, NULL),
                 STATUS_TIMEOUT);
}

/* ---- Stops of the machine ---- */

static VOID LeaveKernelRoutineRaised(PKAPC Apc, PKNORMAL_ROUTINE *NormalRoutine, PVOID *NormalContext, PVOID *Argument1,
                                     PVOID *Argument2) {
    UNREFERENCED_PARAMETER(Apc);
    UNREFERENCED_PARAMETER(NormalRoutine);
    UNREFERENCED_PARAMETER(NormalContext);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeRaiseIrqlToDpcLevel();
}

static VOID LeaveNormalRoutineRaised(PVOID Context, PVOID Argument1, PVOID Argument2) {
    KIRQL OldIrql;
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeRaiseIrql(APC_LEVEL, &OldIrql);
}

KTEST_CRASH(apc_kernel_routine_returns_at_another_level) {
    static KAPC Apc;
    KeInitializeApc(&Apc, KeGetCurrentThread(), OriginalApcEnvironment, LeaveKernelRoutineRaised, NULL, NULL,
                    KernelMode, NULL);
    KeInsertQueueApc(&Apc, NULL, NULL, IO_NO_INCREMENT);
    KtSleep(100);
}

KTEST_CRASH(apc_normal_routine_returns_at_another_level) {
    static APC_NOTE Note;
    KeInitializeApc(&Note.Apc, KeGetCurrentThread(), OriginalApcEnvironment, NoteKernel, NULL, LeaveNormalRoutineRaised,
                    KernelMode, NULL);
    KeInsertQueueApc(&Note.Apc, NULL, NULL, IO_NO_INCREMENT);
    KtSleep(100);
}

static APC_NOTE Late;

static VOID EndInNormalRoutine(PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    Prepare(&Late, KeGetCurrentThread(), TRUE); /* not before this routine returns, which it does not */
    KeInsertQueueApc(&Late.Apc, NULL, NULL, IO_NO_INCREMENT);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static VOID EndByApc(PVOID Context) {
    static APC_NOTE Note;
    UNREFERENCED_PARAMETER(Context);
    KeInitializeApc(&Note.Apc, KeGetCurrentThread(), OriginalApcEnvironment, NoteKernel, NULL, EndInNormalRoutine,
                    KernelMode, NULL);
    KeInsertQueueApc(&Note.Apc, NULL, NULL, IO_NO_INCREMENT);
    KtSleep(100);
}

KTEST_CRASH(apc_is_pending_when_its_thread_ends) {
    HANDLE Handle;
    PsCreateSystemThread(&Handle, 0, NULL, NULL, NULL, EndByApc, NULL);
    KtSleep(1000);
}

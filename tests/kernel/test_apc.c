/* test_apc.c: asynchronous procedure calls: at which level, into which wait, and what keeps them out. */
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
    KT_WAIT_UNTIL(Normal.NormalRuns == 1);
    KT_EXPECT_EQ(Owned, 0);
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

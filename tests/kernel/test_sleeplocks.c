/* test_sleeplocks.c: fast mutexes and work items: sleeping locks that exclude, and routines that run later. */
#include "ktest.h"

/* ---- Fast mutexes ---- */

KTEST(fastmutex_raises_to_APC_and_goes_back) {
    FAST_MUTEX Mutex;
    ExInitializeFastMutex(&Mutex);
    KT_EXPECT_EQ(Mutex.Count, 1);
    KT_EXPECT_EQ(Mutex.Owner, NULL);
    ExAcquireFastMutex(&Mutex);
    KT_EXPECT_EQ(KeGetCurrentIrql(), APC_LEVEL);
    KT_EXPECT_EQ(Mutex.Count, 0);
    KT_EXPECT_EQ(Mutex.Owner, KeGetCurrentThread());
    KT_EXPECT_EQ(Mutex.OldIrql, PASSIVE_LEVEL);
    ExReleaseFastMutex(&Mutex);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
    KT_EXPECT_EQ(Mutex.Count, 1);
    KT_EXPECT_EQ(Mutex.Owner, NULL);
    KT_EXPECT_EQ(Mutex.Contention, 0);
}

KTEST(fastmutex_unsafe_leaves_the_level_alone) {
    FAST_MUTEX Mutex;
    ExInitializeFastMutex(&Mutex);
    KeEnterCriticalRegion();
    ExAcquireFastMutexUnsafe(&Mutex);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
    KT_EXPECT_EQ(Mutex.Owner, KeGetCurrentThread());
    ExReleaseFastMutexUnsafe(&Mutex);
    KeLeaveCriticalRegion();
    KT_EXPECT_EQ(Mutex.Count, 1);
}

typedef struct _CONTENDED {
    FAST_MUTEX Mutex;
    volatile LONG Inside;
    volatile ULONG Total;
    volatile LONG Successes;
} CONTENDED;

static VOID AcquireAndCount(PVOID Context) {
    CONTENDED *Contended = Context;
    ExAcquireFastMutex(&Contended->Mutex);
    Contended->Total++;
    ExReleaseFastMutex(&Contended->Mutex);
}

KTEST(fastmutex_counts_its_waiters_and_wakes_them) {
    static CONTENDED Contended;
    KT_THREAD Waiter[3];
    Contended = (CONTENDED){0};
    ExInitializeFastMutex(&Contended.Mutex);
    ExAcquireFastMutexUnsafe(&Contended.Mutex); /* at PASSIVE_LEVEL, so that this thread can sleep meanwhile */
    for (LONG i = 0; i < 3; i++) {
        KT_REQUIRE(KtCreateThread(&Waiter[i], "waiter", 8, KT_ANY_PROCESSOR, AcquireAndCount, &Contended));
        KT_WAIT_UNTIL(Waiter[i].Thread->Tcb.State == Waiting && Waiter[i].Thread->Tcb.WaitReason == WrFastMutex);
        KT_EXPECT_EQ(Contended.Mutex.Count, 4 * (i + 1));
        KT_EXPECT_EQ(Contended.Mutex.Contention, i + 1);
    }
    KT_EXPECT(!ExTryToAcquireFastMutex(&Contended.Mutex));
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
    KT_EXPECT_EQ(Contended.Total, 0);
    ExReleaseFastMutexUnsafe(&Contended.Mutex);
    for (LONG i = 0; i < 3; i++) {
        KtJoin(&Waiter[i]);
    }
    KT_EXPECT_EQ(Contended.Total, 3);
    KT_EXPECT_EQ(Contended.Mutex.Count, 1);
}

static VOID Work(CONTENDED *Contended, KT_RANDOM *Random) {
    KT_EXPECT_EQ(InterlockedIncrement(&Contended->Inside), 1);
    ULONG Seen = Contended->Total;
    if (KtRandom(Random, 8) == 0) {
        KeYieldThread(); /* the owner may lose its CPU */
    }
    Contended->Total = Seen + 1;
    InterlockedDecrement(&Contended->Inside);
}

static VOID Compete(PVOID Context) {
    CONTENDED *Contended = Context;
    KT_RANDOM Random;
    KtSeedRandom(&Random, (ULONG64)HandleToULong(PsGetCurrentThreadId()));
    for (ULONG i = 0; i < KtStress(2000); i++) {
        if (KtRandom(&Random, 4) != 0) {
            ExAcquireFastMutex(&Contended->Mutex);
        } else if (!ExTryToAcquireFastMutex(&Contended->Mutex)) {
            continue;
        }
        Work(Contended, &Random);
        InterlockedIncrement(&Contended->Successes);
        ExReleaseFastMutex(&Contended->Mutex);
    }
}

KTEST(fastmutex_lets_one_thread_in_at_a_time) {
    static CONTENDED Contended;
    static KT_THREAD Thread[8];
    Contended = (CONTENDED){0};
    ExInitializeFastMutex(&Contended.Mutex);
    for (ULONG i = 0; i < 8; i++) {
        KT_REQUIRE(
            KtCreateThread(&Thread[i], "competitor", (KPRIORITY)(7 + i % 3), KT_ANY_PROCESSOR, Compete, &Contended));
    }
    for (ULONG i = 0; i < 8; i++) {
        KtJoin(&Thread[i]);
    }
    KT_EXPECT_EQ(Contended.Total, Contended.Successes);
    KT_EXPECT_EQ(Contended.Mutex.Count, 1);
}

KTEST_CRASH(fastmutex_at_DISPATCH) {
    static FAST_MUTEX Mutex;
    ExInitializeFastMutex(&Mutex);
    KeRaiseIrqlToDpcLevel();
    ExAcquireFastMutex(&Mutex);
}

/* ---- Mutexes under contention ---- */

typedef struct _SHARED {
    KMUTEX Mutex;
    volatile ULONG Total;
} SHARED;

static VOID CountUnderMutex(ULONG Processor, PVOID Context) {
    SHARED *Shared = Context;
    UNREFERENCED_PARAMETER(Processor);
    for (ULONG i = 0; i < KtStress(1000); i++) {
        KeWaitForSingleObject(&Shared->Mutex, Executive, KernelMode, FALSE, NULL);
        ULONG Seen = Shared->Total;
        if (i % 64 == 0) {
            KeYieldThread();
        }
        Shared->Total = Seen + 1;
        KeReleaseMutex(&Shared->Mutex, FALSE);
    }
}

KTEST(mutex_lets_one_thread_in_at_a_time) {
    static SHARED Shared;
    Shared.Total = 0;
    KeInitializeMutex(&Shared.Mutex, 0);
    KtRunOnAllCpus(CountUnderMutex, &Shared);
    KT_EXPECT_EQ(Shared.Total, KeNumberProcessors * KtStress(1000));
    KT_EXPECT_EQ(KeReadStateMutex(&Shared.Mutex), 1);
}

/* ---- Work items ---- */

typedef struct _JOB {
    WORK_QUEUE_ITEM Item;
    KEVENT Done;
    KEVENT *WaitFor;
    volatile LONG Runs, Again;
    KIRQL Irql;
    KPRIORITY Priority;
    BOOLEAN IsWorker;
} JOB;

static VOID RunJob(PVOID Parameter) {
    JOB *Job = Parameter;
    Job->Irql = KeGetCurrentIrql();
    Job->Priority = KeGetCurrentThread()->BasePriority;
    Job->IsWorker = PsGetCurrentThread()->ActiveExWorker;
    if (Job->WaitFor != NULL) {
        KeWaitForSingleObject(Job->WaitFor, Executive, KernelMode, FALSE, NULL);
    }
    InterlockedIncrement(&Job->Runs);
    if (Job->Again > 0) {
        Job->Again--;
        ExQueueWorkItem(&Job->Item, DelayedWorkQueue);
        return;
    }
    KeSetEvent(&Job->Done, IO_NO_INCREMENT, FALSE);
}

static VOID PrepareJob(JOB *Job, KEVENT *WaitFor, LONG Again) {
    *Job = (JOB){.WaitFor = WaitFor, .Again = Again};
    KeInitializeEvent(&Job->Done, NotificationEvent, FALSE);
    ExInitializeWorkItem(&Job->Item, RunJob, Job);
}

KTEST(workitem_runs_once_at_PASSIVE_on_a_worker_of_its_queue) {
    static const KPRIORITY Expected[MaximumWorkQueue] = {13, 12, 15, 8, 7, 18, 14};
    for (ULONG Queue = 0; Queue < MaximumWorkQueue; Queue++) {
        static JOB Job;
        PrepareJob(&Job, NULL, 0);
        KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
        ExQueueWorkItem(&Job.Item, (WORK_QUEUE_TYPE)Queue);
        KeLowerIrql(OldIrql);
        KeWaitForSingleObject(&Job.Done, Executive, KernelMode, FALSE, NULL);
        KT_EXPECT_EQ(Job.Runs, 1);
        KT_EXPECT_EQ(Job.Irql, PASSIVE_LEVEL);
        KT_EXPECT_EQ(Job.Priority, Expected[Queue]);
        KT_EXPECT(Job.IsWorker);
    }
}

KTEST(workitem_may_be_queued_again_by_its_routine) {
    static JOB Job;
    PrepareJob(&Job, NULL, 50);
    ExQueueWorkItem(&Job.Item, DelayedWorkQueue);
    KeWaitForSingleObject(&Job.Done, Executive, KernelMode, FALSE, NULL);
    KT_EXPECT_EQ(Job.Runs, 51);
}

KTEST(workitems_may_wait_for_each_other) {
    static JOB Job[8];
    for (ULONG i = 8; i-- > 0;) {
        PrepareJob(&Job[i], i < 7 ? &Job[i + 1].Done : NULL, 0);
    }
    for (ULONG i = 0; i < 8; i++) { /* each waits for one that is queued after it */
        ExQueueWorkItem(&Job[i].Item, DelayedWorkQueue);
    }
    KeWaitForSingleObject(&Job[0].Done, Executive, KernelMode, FALSE, NULL);
    for (ULONG i = 0; i < 8; i++) {
        KT_EXPECT_EQ(Job[i].Runs, 1);
    }
}

static KMUTEX LeftOver;

static VOID KeepMutex(PVOID Parameter) {
    UNREFERENCED_PARAMETER(Parameter);
    KeWaitForSingleObject(&LeftOver, Executive, KernelMode, FALSE, NULL);
}

static VOID StayRaised(PVOID Parameter) {
    UNREFERENCED_PARAMETER(Parameter);
    KeRaiseIrqlToDpcLevel();
}

static VOID StayInRegion(PVOID Parameter) {
    UNREFERENCED_PARAMETER(Parameter);
    KeEnterCriticalRegion();
}

static VOID EndThread(PVOID Parameter) {
    UNREFERENCED_PARAMETER(Parameter);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static VOID CrashInWorker(PWORKER_THREAD_ROUTINE Routine) {
    static WORK_QUEUE_ITEM Item;
    KeInitializeMutex(&LeftOver, 0);
    ExInitializeWorkItem(&Item, Routine, (PVOID)0x1234);
    ExQueueWorkItem(&Item, CriticalWorkQueue);
    KtSleep(1000);
}

KTEST_CRASH(workitem_returns_with_a_mutex) {
    CrashInWorker(KeepMutex);
}

KTEST_CRASH(workitem_returns_at_DISPATCH) {
    CrashInWorker(StayRaised);
}

KTEST_CRASH(workitem_returns_in_a_critical_region) {
    CrashInWorker(StayInRegion);
}

KTEST_CRASH(workitem_ends_its_thread) {
    CrashInWorker(EndThread);
}

KTEST_CRASH(workitem_queued_twice) {
    static WORK_QUEUE_ITEM Item;
    ExInitializeWorkItem(&Item, KeepMutex, NULL);
    Item.List.Flink = &Item.List; /* as in a queue, from which another CPU may take it at any time */
    ExQueueWorkItem(&Item, DelayedWorkQueue);
}

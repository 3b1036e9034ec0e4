/* work.c: work items: a driver's routine, run later at PASSIVE_LEVEL on a system thread.
 *
 * One queue for each type of work, each with threads of its own priority. A queue is a list and a semaphore that counts
 * it. It starts with one thread; a thread that takes an item while no other one of its queue is free makes one more
 * first, so that items that wait for each other do not wait forever (up to WORKERS_MAXIMUM).
 *
 * The threads are shared: a routine's DISPATCH_LEVEL, mutex or disabled APCs would fall on the next routine, so each
 * return is checked, and names the guilty routine. */
#include <ex.h>
#include <ps.h>

#define WORKERS_MAXIMUM 16

KE_DECLARE_LOCK(ExpWorkQueueLock, RANK_OBJECT, "the lists of work items");

EX_WORK_QUEUE ExpWorkQueues[MaximumWorkQueue] = {
    [CriticalWorkQueue] = {.ThreadName = "critical worker", .Priority = 13},
    [DelayedWorkQueue] = {.ThreadName = "delayed worker", .Priority = 12},
    [HyperCriticalWorkQueue] = {.ThreadName = "hypercritical worker", .Priority = 15},
    [NormalWorkQueue] = {.ThreadName = "normal worker", .Priority = 8},
    [BackgroundWorkQueue] = {.ThreadName = "background worker", .Priority = 7},
    [RealTimeWorkQueue] = {.ThreadName = "real-time worker", .Priority = 18},
    [SuperCriticalWorkQueue] = {.ThreadName = "supercritical worker", .Priority = 14},
};
static BOOLEAN IsStarted;

static VOID ExpWorkerThread(PVOID Context);

/* The queue whose priority is nearest to a custom one. */
static EX_WORK_QUEUE *FindCustomQueue(KPRIORITY Priority) {
    EX_WORK_QUEUE *Best = &ExpWorkQueues[0];
    for (ULONG i = 1; i < MaximumWorkQueue; i++) {
        KPRIORITY Distance = ExpWorkQueues[i].Priority - Priority, BestDistance = Best->Priority - Priority;
        if (Distance * Distance < BestDistance * BestDistance) {
            Best = &ExpWorkQueues[i];
        }
    }
    return Best;
}

static EX_WORK_QUEUE *FindQueue(PWORK_QUEUE_ITEM WorkItem, ULONG QueueType) {
    if (QueueType < MaximumWorkQueue) {
        return &ExpWorkQueues[QueueType];
    }
    if (QueueType - CustomPriorityWorkQueue >= MAXIMUM_PRIORITY) {
        KeBugCheckEx(WORKER_INVALID, 6, (ULONG_PTR)WorkItem, QueueType, 0);
    }
    return FindCustomQueue((KPRIORITY)(QueueType - CustomPriorityWorkQueue));
}

/* <= DISPATCH_LEVEL. The item must stay resident until its routine runs; inside, it may be freed or queued again. 0xE4
 * when it is queued already (1), too early (5), to no queue that there is (6), or has no routine of the kernel's half
 * of the address space (7). wdm.h: ExQueueWorkItem. */
VOID ExQueueWorkItem(PWORK_QUEUE_ITEM WorkItem, WORK_QUEUE_TYPE QueueType) {
    if (!IsStarted) {
        KeBugCheckEx(WORKER_INVALID, 5, (ULONG_PTR)WorkItem, (ULONG_PTR)QueueType, 0);
    }
    EX_WORK_QUEUE *Queue = FindQueue(WorkItem, (ULONG)QueueType);
    if ((LONG_PTR)WorkItem->WorkerRoutine >= 0) {
        KeBugCheckEx(WORKER_INVALID, 7, (ULONG_PTR)WorkItem, (ULONG_PTR)WorkItem->WorkerRoutine, 0);
    }
    KIRQL OldIrql;
    KeAcquireSpinLock(&ExpWorkQueueLock, &OldIrql);
    if (WorkItem->List.Flink != NULL) {
        KeBugCheckEx(WORKER_INVALID, 1, (ULONG_PTR)WorkItem, (ULONG_PTR)WorkItem->WorkerRoutine, 0);
    }
    InsertTailList(&Queue->Items, &WorkItem->List);
    KeReleaseSpinLock(&ExpWorkQueueLock, OldIrql);
    KeReleaseSemaphore(&Queue->ItemCount, IO_NO_INCREMENT, 1, FALSE);
}

/* Waits for an item and takes it off the queue: from here on it is its owner's again. */
static PWORK_QUEUE_ITEM TakeItem(EX_WORK_QUEUE *Queue) {
    KIRQL OldIrql;
    KeWaitForSingleObject(&Queue->ItemCount, WrQueue, KernelMode, FALSE, NULL);
    KeAcquireSpinLock(&ExpWorkQueueLock, &OldIrql);
    PWORK_QUEUE_ITEM Item = CONTAINING_RECORD(RemoveHeadList(&Queue->Items), WORK_QUEUE_ITEM, List);
    Item->List.Flink = NULL;
    KeReleaseSpinLock(&ExpWorkQueueLock, OldIrql);
    return Item;
}

static NTSTATUS AddWorker(EX_WORK_QUEUE *Queue) {
    InterlockedIncrement(&Queue->FreeWorkers);
    InterlockedIncrement(&Queue->Workers);
    NTSTATUS Status = PsCreateNamedThread(NULL, Queue->ThreadName, Queue->Priority, ExpWorkerThread, Queue);
    if (!NT_SUCCESS(Status)) {
        InterlockedDecrement(&Queue->FreeWorkers);
        InterlockedDecrement(&Queue->Workers);
    }
    return Status;
}

/* Checks the routine's leftovers, in NT's order. Item may have been freed: its address is only reported. */
static VOID CheckReturn(PWORKER_THREAD_ROUTINE Routine, PVOID Parameter, PWORK_QUEUE_ITEM Item) {
    PKTHREAD Thread = KiCurrentThread();
    KIRQL Irql = KiCurrentIrql();
    if (Irql >= DISPATCH_LEVEL) {
        KeBugCheckEx(WORKER_THREAD_RETURNED_AT_BAD_IRQL, (ULONG_PTR)Routine, Irql, (ULONG_PTR)Parameter,
                     (ULONG_PTR)Item);
    }
    if (!IsListEmpty(&Thread->MutantListHead)) {
        KeBugCheckEx(SYSTEM_EXIT_OWNED_MUTEX, (ULONG_PTR)Routine, (ULONG_PTR)Parameter, (ULONG_PTR)Item, 0);
    }
    if (Thread->CombinedApcDisable != 0 || Thread->ApcStateIndex != 0) {
        KeBugCheckEx(APC_INDEX_MISMATCH, (ULONG_PTR)Routine, Thread->ApcStateIndex, Thread->CombinedApcDisable, 1);
    }
}

/* One item. ActiveExWorker makes an attempt to end this thread a bugcheck (0xE9). */
static __attribute__((noinline)) VOID RunItem(PWORK_QUEUE_ITEM Item) {
    PETHREAD Thread = PsGetCurrentThread();
    PWORKER_THREAD_ROUTINE Routine = Item->WorkerRoutine;
    PVOID Parameter = Item->Parameter;
    Thread->WorkItem = Item;
    Routine(Parameter);
    Thread->WorkItem = NULL;
    CheckReturn(Routine, Parameter, Item);
}

/* A thread of one queue, forever. */
static VOID ExpWorkerThread(PVOID Context) {
    EX_WORK_QUEUE *Queue = Context;
    PsGetCurrentThread()->ActiveExWorker = TRUE;
    for (;;) {
        PWORK_QUEUE_ITEM Item = TakeItem(Queue);
        if (InterlockedDecrement(&Queue->FreeWorkers) == 0 && Queue->Workers < WORKERS_MAXIMUM) {
            AddWorker(Queue); /* without memory for one, the items just take their turns */
        }
        RunItem(Item);
        InterlockedIncrement(&Queue->FreeWorkers);
    }
}

VOID ExInitializeWorkers(VOID) {
    for (ULONG i = 0; i < MaximumWorkQueue; i++) {
        InitializeListHead(&ExpWorkQueues[i].Items);
        KeInitializeSemaphore(&ExpWorkQueues[i].ItemCount, 0, MAXLONG);
    }
    IsStarted = TRUE;
    for (ULONG i = 0; i < MaximumWorkQueue; i++) {
        NTSTATUS Status = AddWorker(&ExpWorkQueues[i]);
        if (!NT_SUCCESS(Status)) {
            KeBugCheckEx(PHASE1_INITIALIZATION_FAILED, (ULONG_PTR)Status, 0, 0, 0);
        }
    }
}

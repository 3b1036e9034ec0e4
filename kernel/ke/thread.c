/* thread.c: a thread's life as the scheduler sees it: laid out, started, ended, left to the reaper.
 *
 * A thread cannot free the stack that it stands on. It ends by going to a list and switching away for good; the
 * reaper, a thread like others, takes it from there. The switch happens under the dispatcher lock, which also guards
 * the list, so the stack of a thread taken from the list is no longer in use. */
#include "ki.h"
#include <ps.h>

LIST_ENTRY KiThreadList = {&KiThreadList, &KiThreadList}; /* all threads but the idle ones; dispatcher lock */

/* Ended threads that the reaper has not seen yet, linked by QueueListEntry; guarded by the dispatcher lock. */
static LIST_ENTRY TerminatedThreads = {&TerminatedThreads, &TerminatedThreads};
static KSEMAPHORE TerminatedCount = {
    .Header = {.Type = SemaphoreObject,
               .Size = sizeof(KSEMAPHORE) / sizeof(ULONG),
               .WaitListHead = {&TerminatedCount.Header.WaitListHead, &TerminatedCount.Header.WaitListHead}},
    .Limit = MAXLONG};

/* Any IRQL; a leaf that drivers call too. */
PKTHREAD KeGetCurrentThread(VOID) {
    return KiCurrentThread();
}

/* The CPUs take turns as the first home of new threads. */
static ULONG ChooseIdealProcessor(VOID) {
    static volatile LONG Next;
    return (ULONG)InterlockedIncrement(&Next) % KeNumberProcessors;
}

/* Thread is zeroed, resident memory; the stack is mapped. Nothing runs before KeReadyThread. <= DISPATCH_LEVEL. */
VOID KeInitializeThread(PKTHREAD Thread, ULONG64 StackBase, ULONG64 StackLimit, PKSTART_ROUTINE Start, PVOID Context,
                        KPRIORITY Priority) {
    Thread->Header.Type = ThreadObject;
    Thread->Header.Size = sizeof(KTHREAD) / sizeof(ULONG);
    InitializeListHead(&Thread->Header.WaitListHead);
    InitializeListHead(&Thread->MutantListHead);
    InitializeListHead(&Thread->ApcListHead);
    InitializeListHead(&Thread->UserApcListHead);
    KeInitializeTimer(&Thread->Timer);
    Thread->StackBase = StackBase;
    Thread->StackLimit = StackLimit;
    Thread->StartRoutine = Start;
    Thread->StartContext = Context;
    Thread->State = Initialized;
    Thread->Priority = Thread->BasePriority = (SCHAR)Priority;
    Thread->Quantum = THREAD_QUANTUM;
    Thread->Affinity = Thread->UserAffinity = ~(KAFFINITY)0;
    Thread->Processor = Thread->IdealProcessor = ChooseIdealProcessor();
    Thread->KernelStack = KiPrepareStack(StackBase, Thread);
    KIRQL OldIrql = KiLockDispatcher();
    InsertTailList(&KiThreadList, &Thread->ThreadListEntry);
    KiUnlockDispatcher(OldIrql);
}

/* Lets an initialized thread run for the first time. <= DISPATCH_LEVEL; below it, the new thread may preempt the
 * caller. */
VOID KeReadyThread(PKTHREAD Thread) {
    KIRQL OldIrql = KiLockDispatcher();
    NT_ASSERT(Thread->State == Initialized);
    KiReadyThread(Thread);
    KiUnlockDispatcher(OldIrql);
}

/* The first C code of every thread: the lock that the thread before it took is released here. */
DECLSPEC_NORETURN VOID KiStartThread(PKTHREAD Thread) {
    KiCatchUpApcs(Thread);
    KeReleaseSpinLock(&KiDispatcherLock, PASSIVE_LEVEL);
    Thread->StartRoutine(Thread->StartContext);
    PsTerminateSystemThread(STATUS_SUCCESS);
    __builtin_unreachable();
}

/* An APC that can no longer run, because the thread ends inside a NormalRoutine. Lock held. */
static VOID CheckNoApcIsLeft(PKTHREAD Thread, KIRQL Irql) {
    if (!IsListEmpty(&Thread->ApcListHead)) {
        PKAPC Apc = CONTAINING_RECORD(Thread->ApcListHead.Flink, KAPC, ApcListEntry);
        KeBugCheckEx(KERNEL_APC_PENDING_DURING_EXIT, (ULONG_PTR)Apc, Thread->CombinedApcDisable, Irql, 0);
    }
}

/* Takes the dispatcher lock when no APC is left that could run, or that its owner must get back: until the thread is
 * Terminated, which only happens under this lock, others may still queue one. Returns the old IRQL. */
static KIRQL LockAfterAllApcs(PKTHREAD Thread) {
    for (;;) {
        if (KiAlerts != NULL) {
            KiAlerts->RundownApcs(Thread);
        }
        KIRQL OldIrql = KiLockAfterApcs(Thread);
        if (IsListEmpty(&Thread->UserApcListHead)) {
            return OldIrql;
        }
        KiUnlockDispatcher(OldIrql);
    }
}

/* The current thread ends; its object becomes signalled. <= APC_LEVEL. The exit checks are ps/exit.c's; here NT's
 * rundown: APCs that can run do, then mutexes pass on, and an APC that is left stops the machine. */
DECLSPEC_NORETURN VOID KeTerminateThread(VOID) {
    PKTHREAD Thread = KiCurrentThread();
    KIRQL OldIrql = LockAfterAllApcs(Thread);
    KiAbandonMutants(Thread);
    CheckNoApcIsLeft(Thread, OldIrql);
    Thread->Header.SignalState = 1;
    KiSignalWaiters(&Thread->Header, IO_NO_INCREMENT);
    Thread->State = Terminated;
    InsertTailList(&TerminatedThreads, &Thread->QueueListEntry);
    TerminatedCount.Header.SignalState++;
    KiSignalWaiters(&TerminatedCount.Header, IO_NO_INCREMENT);
    KiBlockThread();
    __builtin_unreachable();
}

/* Waits until a thread has ended and takes it out of all lists. No CPU runs on its stack any more: it switched away
 * under the lock that this takes. PASSIVE_LEVEL. */
PKTHREAD KeWaitForTerminatedThread(VOID) {
    KeWaitForSingleObject(&TerminatedCount, WrTerminated, KernelMode, FALSE, NULL);
    KIRQL OldIrql = KiLockDispatcher();
    PKTHREAD Thread = CONTAINING_RECORD(RemoveHeadList(&TerminatedThreads), KTHREAD, QueueListEntry);
    RemoveEntryList(&Thread->ThreadListEntry);
    NT_ASSERT(KiProcessorBlock[Thread->Processor]->CurrentThread != Thread);
    KiUnlockDispatcher(OldIrql);
    return Thread;
}

/* scheduler.c: the choice of a thread for each CPU, under one lock handed from thread to thread.
 *
 * Theory. A thread is in one of these states, and in exactly one place:
 *
 *      Initialized     nowhere yet                      KeReadyThread makes it
 *      Ready           in the ready queue of KTHREAD.Processor, at its priority
 *      Standby         PRCB.NextThread of KTHREAD.Processor: chosen, will run there as soon as that CPU can switch
 *      Running         PRCB.CurrentThread
 *      Waiting         in the wait lists of the objects it waits for (wait.c)
 *      Terminated      in the reaper's list (thread.c)
 *
 *                    chosen                   the CPU switches
 *          Ready ------------> Standby --------------------------> Running ---> Terminated
 *            ^  ^                 | displaced by a better one        |   |
 *            |  +-----------------+                                  |   | waits
 *            |  +----------------------------------------------------+   v
 *            |    preempted, or its quantum is over                   Waiting
 *            +-----------------------------------------------------------+   an object is signalled, or time is up
 *
 * The rule: of the threads that may run on a CPU, a more important one (31 is the most) never waits while
 * a less important one runs there; among equals, each runs for a quantum of two clock ticks in turn. A thread that
 * becomes ready goes to its last CPU if that one is idle, else to its ideal one, else to any idle one; if none is
 * idle, to the CPU that runs the least important thread, if that is less important than it is; else it queues at its
 * last CPU. A CPU that runs out of threads takes one from another CPU's queue. There is no global order among threads
 * that are queued at different CPUs: two equal threads at a busy CPU share it even if a third one has another CPU to
 * itself.
 *
 * The lock. KiDispatcherLock guards all of this, and wait lists and timers too. It is held at DISPATCH_LEVEL across
 * the switch itself: the old thread takes it, KiSwapContext changes stacks, and the new thread, which is just
 * returning from its own KiSwapContext of long ago, releases it. So no other CPU can see a thread as Ready or Waiting,
 * and run it, before its registers are completely on its stack; and under the lock a Terminated thread is one on whose
 * stack nothing runs any more. A new thread releases the lock in KiStartThread.
 *
 * When a switch happens. A thread that waits or yields calls it itself. All other code only sets NextThread (or, the
 * clock, QuantumEnd) and makes sure that the CPU comes here: at the end of the call that made the thread ready, if that
 * was made below DISPATCH_LEVEL; otherwise by the DISPATCH software interrupt, which the CPU takes when its IRQL drops
 * below 2; on another CPU by the same vector as an IPI. The idle thread is an ordinary thread of priority -1 that is
 * never queued. tests/models/wait.pml tries every order of the steps.
 */
#include "ki.h"
#include <trace.h>

KE_DECLARE_LOCK(KiDispatcherLock, RANK_DISPATCHER, "thread states, wait lists, ready queues, timers");

KAFFINITY KiIdleSummary;

static KAFFINITY ProcessorBit(ULONG Number) {
    return (KAFFINITY)1 << Number;
}

/* ---- Ready queues ---- */

static VOID QueueThread(PKPRCB Prcb, PKTHREAD Thread) {
    PLIST_ENTRY Head = &Prcb->ReadyListHead[Thread->Priority];
    Thread->State = Ready;
    Thread->Processor = Prcb->Number;
    if (Thread->Preempted) {
        InsertHeadList(Head, &Thread->QueueListEntry);
    } else {
        InsertTailList(Head, &Thread->QueueListEntry);
    }
    Prcb->ReadySummary |= 1u << Thread->Priority;
}

static VOID UnqueueThread(PKTHREAD Thread) {
    PKPRCB Prcb = KiProcessorBlock[Thread->Processor];
    if (RemoveEntryList(&Thread->QueueListEntry)) {
        Prcb->ReadySummary &= ~(1u << Thread->Priority);
    }
}

/* The queue must not be empty. */
static PKTHREAD TakeMostImportant(PKPRCB Prcb) {
    ULONG Priority = 31 - __builtin_clz(Prcb->ReadySummary);
    PKTHREAD Thread = CONTAINING_RECORD(Prcb->ReadyListHead[Priority].Flink, KTHREAD, QueueListEntry);
    UnqueueThread(Thread);
    return Thread;
}

/* The most important thread of one queue that may run on the CPUs of Mask; NULL if there is none above Floor. */
static PKTHREAD FindStealable(PKPRCB Victim, KAFFINITY Mask, KPRIORITY Floor) {
    for (KPRIORITY Priority = HIGH_PRIORITY; Priority > Floor; Priority--) {
        PLIST_ENTRY Head = &Victim->ReadyListHead[Priority];
        for (PLIST_ENTRY Entry = Head->Flink; Entry != Head; Entry = Entry->Flink) {
            PKTHREAD Thread = CONTAINING_RECORD(Entry, KTHREAD, QueueListEntry);
            if (Thread->Affinity & Mask) {
                return Thread;
            }
        }
    }
    return NULL;
}

/* For a CPU with nothing to do: the most important thread of all queues that may run there, taken out of its queue. */
static PKTHREAD StealThread(PKPRCB Prcb) {
    PKTHREAD Best = NULL;
    for (ULONG Number = 0; Number < KeNumberProcessors; Number++) {
        PKPRCB Victim = KiProcessorBlock[Number];
        if (Victim != NULL && Victim->ReadySummary != 0) {
            PKTHREAD Thread = FindStealable(Victim, ProcessorBit(Prcb->Number), Best ? Best->Priority : IDLE_PRIORITY);
            Best = Thread ? Thread : Best;
        }
    }
    if (Best != NULL) {
        UnqueueThread(Best);
    }
    return Best;
}

/* The thread that a CPU runs when its current one cannot go on: never NULL, at worst the idle thread. */
static PKTHREAD SelectThread(PKPRCB Prcb) {
    PKTHREAD Thread = Prcb->NextThread;
    if (Thread != NULL) {
        Prcb->NextThread = NULL;
        return Thread;
    }
    if (Prcb->ReadySummary != 0) {
        return TakeMostImportant(Prcb);
    }
    Thread = StealThread(Prcb);
    if (Thread == NULL) {
        Thread = Prcb->IdleThread;
        KiIdleSummary |= ProcessorBit(Prcb->Number);
    }
    return Thread;
}

/* ---- Where a ready thread goes ---- */

static KPRIORITY RunningPriority(const KPRCB *Prcb) {
    return Prcb->NextThread ? Prcb->NextThread->Priority : Prcb->CurrentThread->Priority;
}

static ULONG ChooseIdleProcessor(const KTHREAD *Thread, KAFFINITY Idle) {
    if (Idle & ProcessorBit(Thread->Processor)) {
        return Thread->Processor;
    }
    if (Idle & ProcessorBit(Thread->IdealProcessor)) {
        return Thread->IdealProcessor;
    }
    return __builtin_ctzll(Idle);
}

static PKPRCB ChooseProcessor(const KTHREAD *Thread) {
    KAFFINITY Allowed = Thread->Affinity & KeActiveProcessors;
    KAFFINITY Idle = KiIdleSummary & Allowed;
    NT_ASSERT(Allowed != 0);
    if (Idle != 0) {
        return KiProcessorBlock[ChooseIdleProcessor(Thread, Idle)];
    }
    ULONG Home = Allowed & ProcessorBit(Thread->Processor) ? Thread->Processor : (ULONG)__builtin_ctzll(Allowed);
    PKPRCB Least = KiProcessorBlock[Home];
    KPRIORITY LeastPriority = RunningPriority(Least);
    for (KAFFINITY Rest = Allowed & ~ProcessorBit(Home); Rest != 0; Rest &= Rest - 1) {
        PKPRCB Prcb = KiProcessorBlock[__builtin_ctzll(Rest)];
        if (RunningPriority(Prcb) < LeastPriority) {
            Least = Prcb;
            LeastPriority = RunningPriority(Prcb);
        }
    }
    return Thread->Priority > LeastPriority ? Least : KiProcessorBlock[Home];
}

/* Makes Thread the next one on a CPU. Another CPU gets an IPI; this one looks when the lock is released. */
static VOID SetNextThread(PKPRCB Prcb, PKTHREAD Thread) {
    Thread->State = Standby;
    Thread->Processor = Prcb->Number;
    Prcb->NextThread = Thread;
    KiIdleSummary &= ~ProcessorBit(Prcb->Number);
    if (Prcb != KeGetCurrentPrcb()) {
        HalRequestIpi(Prcb->Number, VECTOR_DISPATCH);
    }
}

/* A thread that has become able to run gets a CPU, a place as another thread's successor, or a place in a queue.
 * DISPATCH_LEVEL, dispatcher lock held; leave by KiUnlockDispatcher, so that this CPU looks at its NextThread. */
VOID KiReadyThread(PKTHREAD Thread) {
    PKPRCB Prcb = ChooseProcessor(Thread);
    if (Thread->Priority <= RunningPriority(Prcb)) {
        QueueThread(Prcb, Thread);
        return;
    }
    PKTHREAD Displaced = Prcb->NextThread;
    SetNextThread(Prcb, Thread);
    if (Displaced != NULL) {
        Displaced->Preempted = TRUE;
        KiReadyThread(Displaced); /* ends: each step is for a strictly less important thread */
    }
}

/* ---- The switch ---- */

/* Runs New on this CPU. Returns when some CPU switches back to the caller's thread, with the lock held again. New is
 * in no queue; the old thread's state and place are set already. */
static VOID SwapThread(PKPRCB Prcb, PKTHREAD New) {
    PKTHREAD Old = Prcb->CurrentThread;
    if (Prcb->DpcRoutineActive) {
        KeReleaseSpinLockFromDpcLevel(&KiDispatcherLock); /* the report shows the caller's locks, not ours */
        KeBugCheckEx(ATTEMPTED_SWITCH_FROM_DPC, (ULONG_PTR)Old, (ULONG_PTR)New, Old->StackBase, 0);
    }
    if (Old == Prcb->IdleThread) {
        KiIdleSummary &= ~ProcessorBit(Prcb->Number);
    }
    New->State = Running;
    New->Processor = Prcb->Number;
    New->ContextSwitches++;
    Prcb->QuantumEnd = FALSE;
    Prcb->DpcWatchdogTicks = 0; /* a CPU that changes threads makes progress, wherever the ticks happen to find it */
    KdTrace(TraceSwitch, Old->State, (ULONG64)Old, (ULONG64)New, 0);
    KiSwapContext(Old, New);
    /* Another thread called that, and this one is back, after a moment or a day: Old is the current thread again, whose
     * stack we are on, and New is the thread it gave way to then. The CPU may be another one, so Prcb above may be
     * another's, and nothing below uses it. The dispatcher lock came along with the thread that has just stopped. A new
     * thread never comes here: its first switch goes to KiThreadStartup. */
    KiCatchUpApcs(KiCurrentThread()); /* queued while this thread did not run */
}

/* The current thread cannot go on: its new state is set, and it is in a wait list or in the reaper's.
 * DISPATCH_LEVEL, dispatcher lock held in and out; 0xB8 inside a DPC. */
VOID KiBlockThread(VOID) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    SwapThread(Prcb, SelectThread(Prcb));
}

/* A boost wears off by one level with each quantum that the thread uses up. */
static VOID RenewQuantum(PKTHREAD Thread) {
    Thread->Quantum = THREAD_QUANTUM;
    if (Thread->PriorityDecrement > 0) {
        Thread->PriorityDecrement--;
        Thread->Priority--;
    }
}

/* The current thread goes back to a queue, NextThread runs. */
static VOID SwitchToNext(PKPRCB Prcb) {
    PKTHREAD Old = Prcb->CurrentThread, New = Prcb->NextThread;
    Prcb->NextThread = NULL;
    if (Old != Prcb->IdleThread) {
        Old->Preempted = !Prcb->QuantumEnd;
        if (Prcb->QuantumEnd) {
            RenewQuantum(Old);
        }
        KiReadyThread(Old);
    }
    SwapThread(Prcb, New);
}

/* At the end of a turn: the next thread that is at least as important as the current one will be when its boost has
 * worn off by one; any thread at all if the current one may not stay on this CPU. */
static PKTHREAD FindSuccessor(PKPRCB Prcb) {
    PKTHREAD Thread = Prcb->CurrentThread;
    if (!(Thread->Affinity & ProcessorBit(Prcb->Number))) {
        return SelectThread(Prcb);
    }
    KPRIORITY Priority = Thread->Priority - (Thread->PriorityDecrement > 0);
    return Prcb->ReadySummary >> Priority ? TakeMostImportant(Prcb) : NULL;
}

/* The current thread has had its turn: its quantum is over, it yields, or it may not stay on this CPU. Switches if
 * there is a successor. DISPATCH_LEVEL, dispatcher lock held in and out. */
VOID KiEndTurn(VOID) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    PKTHREAD Thread = Prcb->CurrentThread;
    Prcb->QuantumEnd = FALSE;
    if (Thread == Prcb->IdleThread) {
        return;
    }
    if (Prcb->NextThread == NULL) {
        Prcb->NextThread = FindSuccessor(Prcb);
    }
    if (Prcb->NextThread != NULL) {
        Prcb->QuantumEnd = TRUE;
        SwitchToNext(Prcb);
    } else {
        RenewQuantum(Thread);
    }
}

/* Releases the dispatcher lock after threads may have been made ready: the current one loses the CPU here if a more
 * important one is to run on it. DISPATCH_LEVEL in, OldIrql out; at OldIrql = DISPATCH_LEVEL the switch is left to the
 * software interrupt, or to the end of the DPC queue that is being drained. */
VOID KiUnlockDispatcher(KIRQL OldIrql) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    if (Prcb->NextThread != NULL) {
        if (OldIrql < DISPATCH_LEVEL) {
            SwitchToNext(Prcb);
        } else if (!Prcb->DpcRoutineActive) {
            HalRequestSoftwareInterrupt(DISPATCH_LEVEL);
        }
    }
    KeReleaseSpinLock(&KiDispatcherLock, OldIrql);
}

/* The end of the DISPATCH interrupt: quantum end and preemption. DISPATCH_LEVEL, IF = 1, on the thread's own stack. */
VOID KiDispatchThreadSwitch(VOID) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    if (!Prcb->QuantumEnd && Prcb->NextThread == NULL) {
        return; /* a NextThread that another CPU sets after this look comes with its own interrupt */
    }
    KeAcquireSpinLockAtDpcLevel(&KiDispatcherLock);
    if (Prcb->QuantumEnd) {
        KiEndTurn();
    } else if (Prcb->NextThread != NULL) {
        SwitchToNext(Prcb);
    }
    KeReleaseSpinLockFromDpcLevel(&KiDispatcherLock);
}

/* Gives the CPU to a thread of the same or a higher priority that is ready at this CPU; returns at once if there is
 * none. <= APC_LEVEL. */
VOID KeYieldThread(VOID) {
    KIRQL OldIrql = KiLockDispatcher();
    if (OldIrql >= DISPATCH_LEVEL) {
        KiRefuseToBlock(OldIrql, NULL, NULL);
    }
    KiEndTurn();
    KeReleaseSpinLock(&KiDispatcherLock, OldIrql);
}

/* ---- Changes of priority ---- */

/* A CPU's running thread has become less important, or has lost its successor: a queued thread may be due. */
static VOID ReconsiderProcessor(PKPRCB Prcb) {
    if (Prcb->NextThread == NULL && (ULONG64)Prcb->ReadySummary >> (Prcb->CurrentThread->Priority + 1)) {
        SetNextThread(Prcb, TakeMostImportant(Prcb));
    }
}

/* Takes a CPU's NextThread away and finds it another place, or the same one. Its Priority may have been changed. */
static VOID ReplaceNextThread(PKPRCB Prcb) {
    PKTHREAD Next = Prcb->NextThread;
    if (Next != NULL) {
        Prcb->NextThread = NULL;
        if (Prcb->CurrentThread == Prcb->IdleThread) {
            KiIdleSummary |= ProcessorBit(Prcb->Number);
        }
        KiReadyThread(Next);
    }
    ReconsiderProcessor(Prcb);
}

/* Any state. DISPATCH_LEVEL, dispatcher lock held; leave by KiUnlockDispatcher. */
VOID KiSetThreadPriority(PKTHREAD Thread, KPRIORITY Priority) {
    switch (Thread->State) {
    case Ready:
        UnqueueThread(Thread);
        Thread->Priority = (SCHAR)Priority;
        Thread->Preempted = FALSE;
        KiReadyThread(Thread);
        break;
    case Standby:
    case Running:
        Thread->Priority = (SCHAR)Priority;
        ReplaceNextThread(KiProcessorBlock[Thread->Processor]);
        break;
    default:
        Thread->Priority = (SCHAR)Priority;
        break;
    }
}

/* ---- Idling ---- */

/* Looks for something to run, in all queues. */
static VOID LeaveIdle(PKPRCB Prcb) {
    KIRQL OldIrql = KiLockDispatcher();
    PKTHREAD New = SelectThread(Prcb);
    if (New != Prcb->IdleThread) {
        SwapThread(Prcb, New);
    }
    KeReleaseSpinLock(&KiDispatcherLock, OldIrql);
}

/* The idle thread of each CPU, forever; it is entered at <= DISPATCH_LEVEL, and runs at PASSIVE_LEVEL with IF = 1.
 * The last look at the queues is taken with IF = 0, and `sti; hlt` lets an interrupt in only when the CPU halts
 * already: a wake-up cannot fall between the two. */
DECLSPEC_NORETURN VOID KiIdleLoop(VOID) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    _enable();
    KeLowerIrql(PASSIVE_LEVEL);
    for (;;) {
        LeaveIdle(Prcb);
        _disable();
        if (Prcb->NextThread == NULL && Prcb->ReadySummary == 0 && Prcb->DpcData.DpcQueueDepth == 0) {
            HalIdle();
        }
        _enable();
        if (Prcb->DpcData.DpcQueueDepth != 0) {
            HalRequestSoftwareInterrupt(DISPATCH_LEVEL); /* a DPC of low importance, which has asked for nothing */
        }
    }
}

/* watch.c: the judged drivers' threads, timers and DPCs, and whom each thread waits for.
 *
 * Nothing in a thread says which driver made it. So a thread is a driver's when its start routine, or a return address on
 * its stack, lies in the driver's image: the second makes a system worker the driver's as long as it runs DriverEntry or
 * a work item. Readers hold the dispatcher lock, under which a thread that does not run cannot begin to. */
#include "judge.h"

#include <ex.h>
#include <kd.h>
#include <ldr.h>

#define MAXIMUM_FRAMES 64
#define MAXIMUM_OLD_TIMERS 64
#define MAXIMUM_CHAIN 64
#define HASH_PRIME 1099511628211ULL
#define RECENT_TICKS 64 /* a second */
/* Where KiSwapContext leaves a thread: arch/x86_64/switch.asm. */
#define SWAP_RBP 0x28
#define SWAP_RIP 0x30

static KD_FRAME WatchFrames[MAXIMUM_FRAMES];
static PKTIMER OldTimers[MAXIMUM_OLD_TIMERS];
static ULONG OldTimerCount;

/* Asked for every frame of every thread, with the dispatcher lock held: nearly all of them are the kernel's. */
BOOLEAN JudgeIsDriverAddress(ULONG64 Address) {
    if (LdrIsKernelAddress(Address)) {
        return FALSE;
    }
    PKLDR_DATA_TABLE_ENTRY Module = LdrFindModule(Address);
    for (ULONG i = 0; Module != NULL && i < JudgeNameCount; i++) {
        if (_stricmp(Module->Name, JudgeNames[i]) == 0) {
            return TRUE;
        }
    }
    return FALSE;
}

ULONG JudgeWalkThread(PKTHREAD Thread, KD_FRAME *Frames, ULONG Maximum) {
    if (Thread->KernelStack < Thread->StackLimit || Thread->KernelStack + SWAP_RIP >= Thread->StackBase) {
        return 0;
    }
    KD_FRAME First = {.Rip = *(ULONG64 *)(Thread->KernelStack + SWAP_RIP), /* where KiSwapContext returns to */
                      .Rsp = Thread->KernelStack + SWAP_RIP + sizeof(ULONG64),
                      .Rbp = *(ULONG64 *)(Thread->KernelStack + SWAP_RBP)};
    return KdWalkStack(&First, Frames, Maximum);
}

/* The last walk's findings about a thread: until the thread is switched to again, its stack is the same. */
typedef struct _WATCHED {
    PKTHREAD Thread;
    PVOID StartRoutine;
    ULONG64 ContextSwitches;
    BOOLEAN IsDrivers;
} WATCHED;

#define WATCHED_THREADS 64
static WATCHED Watched[WATCHED_THREADS];

static BOOLEAN HasDriverFrame(PKTHREAD Thread) {
    ULONG Count = JudgeWalkThread(Thread, WatchFrames, MAXIMUM_FRAMES);
    for (ULONG i = 0; i < Count; i++) {
        if (JudgeIsDriverAddress(WatchFrames[i].Rip)) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Of a thread that waits. */
static BOOLEAN IsInDriver(PKTHREAD Thread) {
    WATCHED *Last = &Watched[((ULONG64)Thread >> 6 ^ (ULONG64)Thread >> 12) % WATCHED_THREADS];
    if (Last->Thread != Thread || Last->StartRoutine != (PVOID)Thread->StartRoutine ||
        Last->ContextSwitches != Thread->ContextSwitches) {
        *Last = (WATCHED){Thread, (PVOID)Thread->StartRoutine, Thread->ContextSwitches, HasDriverFrame(Thread)};
    }
    return Last->IsDrivers;
}

BOOLEAN JudgeIsDriverThread(PKTHREAD Thread) {
    if (JudgeIsDriverAddress((ULONG64)Thread->StartRoutine)) {
        return TRUE;
    }
    if (Thread->State == Terminated || Thread->State == Initialized) {
        return FALSE;
    }
    if (Thread->State != Waiting) {
        /* Its stack moves, or soon will. A busy worker counts: its item may be the driver's, and will soon be over if
         * not. */
        return CONTAINING_RECORD(Thread, ETHREAD, Tcb)->WorkItem != NULL ||
               JudgeIsDriverAddress((ULONG64)KeQueryThreadedDpc(Thread));
    }
    return IsInDriver(Thread);
}

BOOLEAN JudgeIsBlocked(PKTHREAD Thread) {
    /* A thread that waits for a lock may be on a CPU for an instant, to raise the owner's priority. */
    return Thread->BlockingLock != NULL || (Thread->State == Waiting && !Thread->Timer.Header.Inserted);
}

/* ---- Whom a thread waits for ---- */

/* Whether a pointer is a thread's that has not ended. */
static BOOLEAN IsLiving(const KTHREAD *Thread) {
    PKTHREAD Object = KeNextThreadObject(NULL);
    while (Object != NULL && Object != Thread) {
        Object = KeNextThreadObject(Object);
    }
    return Object != NULL && Object->State != Terminated;
}

/* The one object that can end a thread's wait; NULL: any of several can. */
static DISPATCHER_HEADER *OnlyObject(const KTHREAD *Thread) {
    const KWAIT_BLOCK *Block = Thread->WaitBlockList;
    return Block != NULL && (Block->NextWaitBlock == Block || Block->WaitType != WaitAny) ? Block->Object : NULL;
}

static PCSTR ObjectKind(const DISPATCHER_HEADER *Object) {
    switch (Object->Type) {
    case EventNotificationObject:
        return "notification event";
    case EventSynchronizationObject:
        return "synchronization event";
    case MutantObject:
        return "KMUTEX";
    case SemaphoreObject:
        return "semaphore";
    case ThreadObject:
        return "the end of thread";
    case QueueObject:
        return "queue";
    case TimerNotificationObject:
    case TimerSynchronizationObject:
        return "timer";
    default:
        return "object";
    }
}

PVOID JudgeFindObject(PKTHREAD Thread, PCSTR *Kind) {
    const KWAIT_BLOCK *Block = Thread->WaitBlockList;
    *Kind = "nothing";
    if (Thread->BlockingLock != NULL) {
        *Kind = ExLockKindName(Thread->BlockingKind);
        return Thread->BlockingLock;
    }
    if (Block == NULL) {
        return NULL;
    }
    *Kind = ObjectKind(Block->Object);
    return Block->Object;
}

static PKTHREAD OwnerOf(PKTHREAD Thread) {
    if (Thread->BlockingLock != NULL) {
        return ExQueryLockOwner(Thread->BlockingLock, Thread->BlockingKind);
    }
    DISPATCHER_HEADER *Object = OnlyObject(Thread);
    if (Object == NULL) {
        return NULL;
    }
    if (Object->Type == MutantObject) {
        return CONTAINING_RECORD(Object, KMUTANT, Header)->OwnerThread;
    }
    return Object->Type == ThreadObject ? CONTAINING_RECORD(Object, KTHREAD, Header) : NULL;
}

PKTHREAD JudgeFindOwner(PKTHREAD Thread, BOOLEAN *HasEnded) {
    PKTHREAD Owner = JudgeIsBlocked(Thread) ? OwnerOf(Thread) : NULL;
    *HasEnded = Owner != NULL && !IsLiving(Owner);
    return Owner;
}

/* A number for the circle in which a thread's chain of owners leads back to it; 0: no circle. */
ULONG64 JudgeFindCycle(PKTHREAD Thread) {
    ULONG64 Sum = 0;
    PKTHREAD Next = Thread;
    for (ULONG Steps = 0; Steps < MAXIMUM_CHAIN; Steps++) {
        BOOLEAN HasEnded;
        Next = JudgeFindOwner(Next, &HasEnded);
        if (Next == NULL || HasEnded) {
            return 0;
        }
        Sum += (ULONG64)Next; /* the same from any start in the circle */
        if (Next == Thread) {
            return Sum;
        }
    }
    return 0;
}

/* ---- Timers ---- */

static BOOLEAN IsThreadTimer(PKTIMER Timer) {
    for (PKTHREAD Thread = KeNextThreadObject(NULL); Thread != NULL; Thread = KeNextThreadObject(Thread)) {
        if (&Thread->Timer == Timer) {
            return TRUE;
        }
    }
    return FALSE;
}

VOID JudgeRememberTimers(VOID) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&KiDispatcherLock, &OldIrql);
    for (PKTIMER Timer = KeNextTimer(NULL); Timer != NULL && OldTimerCount < MAXIMUM_OLD_TIMERS;
         Timer = KeNextTimer(Timer)) {
        OldTimers[OldTimerCount++] = Timer;
    }
    KeReleaseSpinLock(&KiDispatcherLock, OldIrql);
}

/* A DPC's routine tells whose timer it is. Without one: not the kernel's own data, not a wait's time-out, and new. */
BOOLEAN JudgeIsDriverTimer(PKTIMER Timer) {
    if (Timer->Dpc != NULL) {
        ULONG64 Routine = (ULONG64)Timer->Dpc->DeferredRoutine;
        return JudgeIsDriverAddress(Routine) || LdrFindUnloadedModule(Routine) != NULL;
    }
    for (ULONG i = 0; i < OldTimerCount; i++) {
        if (OldTimers[i] == Timer) {
            return FALSE;
        }
    }
    PKLDR_DATA_TABLE_ENTRY Module = LdrFindModule((ULONG64)Timer);
    return (Module == NULL || JudgeIsDriverAddress((ULONG64)Timer)) && !IsThreadTimer(Timer);
}

/* ---- The whole ---- */

static VOID Mix(ULONG64 *Hash, ULONG64 Value) {
    *Hash = (*Hash ^ Value) * HASH_PRIME;
}

static VOID LookAtThread(JUDGE_VIEW *View, PKTHREAD Thread) {
    if (Thread->State == Terminated) {
        View->Ended += JudgeIsDriverAddress((ULONG64)Thread->StartRoutine);
        return;
    }
    View->Left += JudgeCountLeft(Thread);
    if (Thread == KeGetCurrentThread() || !JudgeIsDriverThread(Thread)) {
        return;
    }
    PCSTR Kind;
    BOOLEAN IsBlocked = JudgeIsBlocked(Thread);
    View->Threads++;
    View->Blocked += IsBlocked;
    View->Busy += Thread->State != Waiting && KiTickCount - Thread->WaitTime > RECENT_TICKS;
    Mix(&View->Signature, (ULONG64)Thread);
    Mix(&View->Signature, IsBlocked ? (ULONG64)JudgeFindObject(Thread, &Kind) : Thread->ContextSwitches);
    ULONG64 Cycle = IsBlocked ? JudgeFindCycle(Thread) : 0;
    View->Cycle = Cycle > View->Cycle ? Cycle : View->Cycle;
}

static BOOLEAN IsDriverDpc(PKDEFERRED_ROUTINE Routine) {
    return JudgeIsDriverAddress((ULONG64)Routine);
}

VOID JudgeLook(JUDGE_VIEW *View) {
    KIRQL OldIrql;
    *View = (JUDGE_VIEW){0};
    KeAcquireSpinLock(&KiDispatcherLock, &OldIrql);
    View->Left = JudgeCountLeft(NULL);
    for (PKTHREAD Thread = KeNextThreadObject(NULL); Thread != NULL; Thread = KeNextThreadObject(Thread)) {
        LookAtThread(View, Thread);
    }
    for (PKTIMER Timer = KeNextTimer(NULL); Timer != NULL; Timer = KeNextTimer(Timer)) {
        View->Pending += JudgeIsDriverTimer(Timer);
    }
    KeReleaseSpinLock(&KiDispatcherLock, OldIrql);
    View->Pending += KeCountDpcs(IsDriverDpc) + ExCountWorkItems();
    Mix(&View->Signature, View->Pending);
    Mix(&View->Signature, View->Left);
    Mix(&View->Signature, View->Ended);
}

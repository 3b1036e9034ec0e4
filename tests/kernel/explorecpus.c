/* explorecpus.c: the two CPUs of an exploration: the boot CPU's and CPU 1's control blocks, lent for some milliseconds.
 *
 * All other CPUs stand still in the routine of an IPI, at a moment when none holds the dispatcher's or the page frames' lock.
 * Contexts that may wait get what the scheduler needs: each CPU a thread of its own, a real one that sleeps between the
 * batches, and an idle thread. A context whose thread waits goes on in its idle thread, as a CPU does, until the other
 * context has woken the thread; the code of the wait, the switch and the wake-up is the kernel's. */
#include "../../arch/x86_64/hal.h"
#include "../../kernel/ke/dispatcher.h"
#include "../../kernel/mm/mi.h"
#include "explore-private.h"

#define STACK_BYTES 8192
#define SWITCH_WORDS 7 /* of KiSwapContext on a stack: switch.asm */
#define THREAD_PRIORITY 8

typedef struct _CPU {
    KTHREAD Idle;
    KT_THREAD Thread; /* the one that waits */
    KTHREAD Fresh;    /* it, as it begins each schedule */
    KTHREAD Parked;   /* it, as it sleeps between the batches */
    KPRCB Own;        /* the CPU's own state meanwhile */
    DECLSPEC_ALIGN(16) UCHAR IdleStack[STACK_BYTES];
    DECLSPEC_ALIGN(16) UCHAR DpcStack[STACK_BYTES];
} CPU;
static CPU Cpus[KT_CONTEXTS];
static KEVENT Unpark; /* set when the threads may end */

static KAFFINITY OwnIdleSummary;
static ULONG OwnNumberProcessors;
static GATE Gates[GATES];

static PKPRCB PrcbOf(ULONG Number) {
    return KiProcessorBlock[Number];
}

PKPCR KtPcrOf(const KT_EXPLORATION *What, ULONG Context) {
    return CONTAINING_RECORD(PrcbOf(What->SharesCpu ? 0 : Context), KPCR, Prcb);
}

/* ---- Threads ---- */

static VOID Park(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&Unpark, Executive, KernelMode, FALSE, NULL);
}

static BOOLEAN IsParked(const KTHREAD *Thread) {
    return Thread->State == Waiting && Thread->WaitBlock[0].Object == &Unpark.Header;
}

static VOID JoinThreads(ULONG Count) {
    KeSetEvent(&Unpark, IO_NO_INCREMENT, FALSE);
    for (ULONG Number = 0; Number < Count; Number++) {
        KtJoin(&Cpus[Number].Thread);
    }
}

BOOLEAN KtOpenCpus(const KT_EXPLORATION *What) {
    if (!What->Sleeps) {
        return TRUE;
    }
    KeInitializeEvent(&Unpark, NotificationEvent, FALSE);
    for (ULONG Number = 0; Number < KT_CONTEXTS; Number++) {
        if (!KtCreateThread(&Cpus[Number].Thread, "explored", THREAD_PRIORITY, Number, Park, NULL)) {
            JoinThreads(Number);
            return FALSE;
        }
        KT_WAIT_UNTIL(IsParked(&Cpus[Number].Thread.Thread->Tcb));
    }
    return TRUE;
}

VOID KtCloseCpus(const KT_EXPLORATION *What) {
    if (What->Sleeps) {
        JoinThreads(KT_CONTEXTS);
    }
}

/* ---- What the CPUs lend, and get back as it was ---- */

static VOID BorrowThread(CPU *Cpu) {
    PKTHREAD Thread = &Cpu->Thread.Thread->Tcb;
    Cpu->Parked = Cpu->Fresh = *Thread;
    Cpu->Fresh.State = Running;
    Cpu->Fresh.WaitBlockList = NULL;
}

static VOID BorrowCpus(const KT_EXPLORATION *What) {
    OwnIdleSummary = KiIdleSummary;
    OwnNumberProcessors = KeNumberProcessors;
    for (ULONG Number = 0; Number < KT_CONTEXTS; Number++) {
        Cpus[Number].Own = *PrcbOf(Number);
        if (What->Sleeps) {
            BorrowThread(&Cpus[Number]);
        }
    }
    KeNumberProcessors = What->SaysOne ? 1 : OwnNumberProcessors;
}

/* All but the trace goes back to what it was. */
static VOID ReturnCpu(CPU *Cpu, PKPRCB Prcb) {
    Prcb->CurrentThread = Cpu->Own.CurrentThread;
    Prcb->NextThread = Cpu->Own.NextThread;
    Prcb->IdleThread = Cpu->Own.IdleThread;
    Prcb->DpcRoutineActive = Cpu->Own.DpcRoutineActive;
    Prcb->QuantumEnd = Cpu->Own.QuantumEnd;
    Prcb->DpcInterruptRequested = Cpu->Own.DpcInterruptRequested;
    Prcb->DpcStack = Cpu->Own.DpcStack;
    Prcb->DpcData = Cpu->Own.DpcData;
    Prcb->ThreadedDpcRequested = Cpu->Own.ThreadedDpcRequested;
    Prcb->DpcWatchdogTicks = Cpu->Own.DpcWatchdogTicks;
    Prcb->DpcRoutineTicks = Cpu->Own.DpcRoutineTicks;
    Prcb->ReadySummary = Cpu->Own.ReadySummary;
    Prcb->SpinningOn = Cpu->Own.SpinningOn;
    Prcb->SpinningWord = Cpu->Own.SpinningWord;
}

static VOID ReturnCpus(const KT_EXPLORATION *What) {
    KeNumberProcessors = OwnNumberProcessors;
    KiIdleSummary = OwnIdleSummary;
    for (ULONG Number = 0; Number < KT_CONTEXTS; Number++) {
        ReturnCpu(&Cpus[Number], PrcbOf(Number));
        if (What->Sleeps) {
            Cpus[Number].Thread.Thread->Tcb = Cpus[Number].Parked;
        }
    }
}

/* ---- Each schedule begins alike ---- */

/* The thread's first switch leads to KtIdle, with a stack that is aligned for its calls. */
static VOID ResetIdleThread(CPU *Cpu, ULONG Number) {
    ULONG64 *Stack = (ULONG64 *)(Cpu->IdleStack + STACK_BYTES) - SWITCH_WORDS - 2;
    memset(Stack, 0, SWITCH_WORDS * sizeof(*Stack));
    Stack[SWITCH_WORDS - 1] = (ULONG64)KtIdle;
    Cpu->Idle.KernelStack = (ULONG64)Stack;
    Cpu->Idle.State = Ready;
    Cpu->Idle.Priority = Cpu->Idle.BasePriority = IDLE_PRIORITY;
    Cpu->Idle.Processor = Cpu->Idle.IdealProcessor = Number;
    Cpu->Idle.Affinity = (KAFFINITY)1 << Number;
}

static VOID ResetCpu(CPU *Cpu, ULONG Number) {
    PKPRCB Prcb = PrcbOf(Number);
    ResetIdleThread(Cpu, Number);
    Cpu->Thread.Thread->Tcb = Cpu->Fresh;
    Prcb->CurrentThread = &Cpu->Thread.Thread->Tcb;
    Prcb->NextThread = NULL;
    Prcb->IdleThread = &Cpu->Idle;
    Prcb->ReadySummary = 0;
    Prcb->QuantumEnd = FALSE;
}

static VOID ResetDpcs(CPU *Cpu, PKPRCB Prcb) {
    InitializeListHead(&Prcb->DpcData.DpcListHead);
    Prcb->DpcData.DpcLock = 0;
    Prcb->DpcData.DpcQueueDepth = 0;
    Prcb->DpcData.ActiveRoutine = NULL;
    Prcb->DpcStack = (ULONG64)(Cpu->DpcStack + STACK_BYTES);
    Prcb->DpcRoutineActive = Prcb->DpcInterruptRequested = Prcb->ThreadedDpcRequested = FALSE;
}

VOID KtResetCpus(const KT_EXPLORATION *What) {
    KiDispatcherLock = MmPfnLock = 0; /* a schedule that did not end may have left them held */
    for (ULONG Number = 0; Number < KT_CONTEXTS; Number++) {
        ResetDpcs(&Cpus[Number], PrcbOf(Number));
        if (What->Sleeps) {
            KiIdleSummary = 0;
            ResetCpu(&Cpus[Number], Number);
        }
    }
}

/* ---- Alone on the machine ---- */

static VOID SetGate(ULONG Vector, const UCHAR *Handler) {
    ULONG64 Address = (ULONG64)Handler;
    Gates[Vector].OffsetLow = (USHORT)Address;
    Gates[Vector].OffsetMiddle = (USHORT)(Address >> 16);
    Gates[Vector].OffsetHigh = (ULONG)(Address >> 32);
}

/* IF = 0. #DB and #PF have gates of their own meanwhile. */
static VOID CallWithTraps(VOID (*Routine)(PVOID), PVOID Context) {
    TABLE_POINTER Own = {sizeof(Gates) - 1, (ULONG64)Gates}, Kernels;
    __asm__ volatile("sidt %0" : "=m"(Kernels));
    memcpy(Gates, (const void *)Kernels.Base, sizeof(Gates));
    SetGate(VectorDebug, KtStepTrap);
    SetGate(VectorPageFault, KtFaultTrap);
    __asm__ volatile("lidt %0" : : "m"(Own));
    Routine(Context);
    __asm__ volatile("lidt %0" : : "m"(Kernels));
}

typedef struct _ALONE {
    const KT_EXPLORATION *What;
    VOID (*Routine)(PVOID Context);
    PVOID Context;
    volatile LONG StandingStill, IsOver;
} ALONE;

/* On every CPU at once, at IPI_LEVEL. */
static ULONG_PTR StandStill(ULONG_PTR Context) {
    ALONE *Alone = (ALONE *)Context;
    if (KeGetCurrentPrcb()->Number != 0) {
        InterlockedIncrement(&Alone->StandingStill);
        while (!Alone->IsOver) {
            YieldProcessor();
        }
        return 0;
    }
    while (Alone->StandingStill < (LONG)KeNumberProcessors - 1) {
        YieldProcessor();
    }
    _disable();
    BorrowCpus(Alone->What);
    CallWithTraps(Alone->Routine, Alone->Context);
    ReturnCpus(Alone->What);
    KiDispatcherLock = MmPfnLock = 1; /* held again, by KtCallAlone */
    _enable();
    Alone->IsOver = TRUE;
    return 0;
}

VOID KtCallAlone(const KT_EXPLORATION *What, VOID (*Routine)(PVOID Context), PVOID Context) {
    ALONE Alone = {.What = What, .Routine = Routine, .Context = Context};
    KtPin(0);
    KIRQL OldIrql = MiAcquirePfnLock();
    KeAcquireSpinLockAtDpcLevel(&KiDispatcherLock);
    KeIpiGenericCall(StandStill, (ULONG_PTR)&Alone);
    KeReleaseSpinLockFromDpcLevel(&KiDispatcherLock);
    MiReleasePfnLock(OldIrql);
    KtUnpin();
}

/* bench_threads.c: the cost of going from one thread to another on one CPU, and of getting a DPC to run. */
#include "ktest.h"

#define PARTNER_PRIORITY 27 /* the measuring thread's own */

typedef struct _PARTNER {
    KT_THREAD Thread;
    volatile BOOLEAN IsOver;
    KSEMAPHORE Ping, Pong;
} PARTNER;

static BOOLEAN StartPartner(PARTNER *Partner, VOID (*Routine)(PVOID Context)) {
    Partner->IsOver = FALSE;
    if (!KtCreateThread(&Partner->Thread, "partner", PARTNER_PRIORITY, 0, Routine, Partner)) {
        return FALSE;
    }
    while (KeNumberProcessors > 1 && Partner->Thread.Thread->Tcb.Affinity != 1) {
        YieldProcessor(); /* it starts on an idle CPU and comes here by itself */
    }
    return TRUE;
}

static VOID YieldUntilOver(PVOID Context) {
    PARTNER *Partner = Context;
    while (!Partner->IsOver) {
        KeYieldThread();
    }
}

/* Our yield runs the partner, whose yield runs us: two in each round. */
KBENCH(BenchYield, "yield from one thread to another", "instructions", 250) {
    static PARTNER Partner;
    if (!StartPartner(&Partner, YieldUntilOver)) {
        return 0;
    }
    ULONG64 Value = KT_MEASURE(KeYieldThread()) / 2;
    Partner.IsOver = TRUE;
    KtJoin(&Partner.Thread);
    return Value;
}

static VOID ReturnThePing(PVOID Context) {
    PARTNER *Partner = Context;
    for (;;) {
        KeWaitForSingleObject(&Partner->Ping, Executive, KernelMode, FALSE, NULL);
        if (Partner->IsOver) {
            return;
        }
        KeReleaseSemaphore(&Partner->Pong, IO_NO_INCREMENT, 1, FALSE);
    }
}

static VOID PingPong(PARTNER *Partner) {
    KeReleaseSemaphore(&Partner->Ping, IO_NO_INCREMENT, 1, FALSE);
    KeWaitForSingleObject(&Partner->Pong, Executive, KernelMode, FALSE, NULL);
}

KBENCH(BenchSemaphore, "semaphore ping-pong on one CPU, per hand-off", "instructions", 700) {
    static PARTNER Partner;
    KeInitializeSemaphore(&Partner.Ping, 0, 1);
    KeInitializeSemaphore(&Partner.Pong, 0, 1);
    if (!StartPartner(&Partner, ReturnThePing)) {
        return 0;
    }
    PingPong(&Partner);
    ULONG64 Value = KT_MEASURE(PingPong(&Partner)) / 2;
    Partner.IsOver = TRUE;
    KeReleaseSemaphore(&Partner.Ping, IO_NO_INCREMENT, 1, FALSE);
    KtJoin(&Partner.Thread);
    return Value;
}

/* ---- An event is set, its waiter runs ---- */

static struct {
    KEVENT Event;
    volatile BOOLEAN IsOver;
    volatile ULONG64 Woken;
} Wake;

static VOID NoteWakeUps(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    for (;;) {
        KeWaitForSingleObject(&Wake.Event, Executive, KernelMode, FALSE, NULL);
        Wake.Woken = __rdtsc();
        if (Wake.IsOver) {
            return;
        }
    }
}

static BOOLEAN StartWaiter(KT_THREAD *Waiter) {
    Wake.IsOver = FALSE;
    KeInitializeEvent(&Wake.Event, SynchronizationEvent, FALSE);
    if (!KtCreateThread(Waiter, "waiter", PARTNER_PRIORITY + 1, 0, NoteWakeUps, NULL)) {
        return FALSE;
    }
    while (Waiter->Thread->Tcb.State != Waiting || Waiter->Thread->Tcb.WaitBlock[0].Object != &Wake.Event.Header) {
        YieldProcessor();
    }
    return TRUE;
}

/* From the call of KeSetEvent to the waiter's first instruction behind its wait: the waiter is the more important one,
 * so it has run and waits again when KeSetEvent returns. */
KBENCH(BenchWake, "event set -> waiter runs, same CPU", "instructions", 600) {
    static KT_THREAD Waiter;
    ULONG64 Quickest = ~0ULL, Empty = ~0ULL;
    if (!StartWaiter(&Waiter)) {
        return 0;
    }
    for (ULONG Try = 0; Try < KT_BATCH; Try++) {
        ULONG64 Start = __rdtsc();
        ULONG64 Between = __rdtsc() - Start;
        Start = __rdtsc();
        KeSetEvent(&Wake.Event, IO_NO_INCREMENT, FALSE);
        Empty = Between < Empty ? Between : Empty;
        Quickest = Wake.Woken - Start < Quickest ? Wake.Woken - Start : Quickest;
    }
    Wake.IsOver = TRUE;
    KeSetEvent(&Wake.Event, IO_NO_INCREMENT, FALSE);
    KtJoin(&Waiter);
    return (Quickest - Empty) * 100;
}

static volatile ULONG64 DpcTime;

static VOID NoteTime(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    DpcTime = __rdtsc();
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
}

/* From the call of KeInsertQueueDpc to the first instruction of the routine. */
KBENCH(BenchDpc, "DPC queued at IRQL 0 -> runs, same CPU", "instructions", 150) {
    static KDPC Dpc;
    ULONG64 Quickest = ~0ULL, Empty = ~0ULL;
    KeInitializeDpc(&Dpc, NoteTime, NULL);
    for (ULONG Try = 0; Try < KT_BATCH; Try++) {
        ULONG64 Start = __rdtsc();
        ULONG64 Between = __rdtsc() - Start;
        DpcTime = 0;
        Start = __rdtsc();
        KeInsertQueueDpc(&Dpc, NULL, NULL);
        while (DpcTime == 0) {
            YieldProcessor();
        }
        Empty = Between < Empty ? Between : Empty;
        Quickest = DpcTime - Start < Quickest ? DpcTime - Start : Quickest;
    }
    return (Quickest - Empty) * 100;
}

/* explore.c: the exploration of schedules: which context runs next, and which schedule is tried next.
 *
 * Both contexts run on one CPU, the other one lends its PRCB: it waits in the routine of an IPI meanwhile. A context is
 * preempted where the schedule says so. It gives way by itself at a `pause`, when it has returned, and after many
 * instructions, so that a wait without a pause ends too. A schedule that does not end breaks every rule. */
#include "explore.h"
#include <ldr.h>

#define STACK_BYTES 8192
#define TURN_INSTRUCTIONS 64 /* of a context that waits without a pause */
#define LIMIT_INSTRUCTIONS 4096
#define EFLAGS_TF 0x100
#define EFLAGS_ALWAYS 2
#define GATES 256
#define LOGGED 1024

typedef struct _FRAME { /* exploreturn.asm */
    ULONG64 Registers[15];
    ULONG64 Rip, Cs, EFlags, Rsp, Ss;
} FRAME;

typedef struct _CONTEXT_STATE {
    FRAME *Frame;
    PKPCR Pcr;
    KIRQL Irql;
    BOOLEAN IsDone;
} CONTEXT_STATE;

typedef struct _GATE { /* Intel: "64-Bit IDT Gate Descriptors" */
    USHORT OffsetLow, Selector;
    UCHAR Ist, Type;
    USHORT OffsetMiddle;
    ULONG OffsetHigh, Reserved;
} GATE;

typedef struct _TABLE_POINTER {
    USHORT Limit;
    ULONG64 Base;
} __attribute__((packed)) TABLE_POINTER;

extern const UCHAR KtStepTrap[], KtContextEnd[]; /* exploreturn.asm */
VOID KtRunContexts(PVOID Frame);
PVOID KtTurn(FRAME *Frame);

ULONG64 KtCountdown; /* instructions until the next turn */
FRAME *KtMainFrame;  /* of the explorer itself */

static DECLSPEC_ALIGN(16) UCHAR Stacks[KT_CONTEXTS][STACK_BYTES];
static CONTEXT_STATE Contexts[KT_CONTEXTS];
static CONTEXT_STATE *Current;
static GATE Gates[GATES];

static KT_SCHEDULE Schedule;   /* that is tried */
static ULONG Due, Made;        /* of its preemptions: come to, and made; none is where the other context has returned */
static ULONG64 Steps, Granted; /* instructions of both contexts */
static ULONG64 TurnEnd;        /* then the other one has its turn though nothing is planned */

typedef struct _LOG_ROW {
    ULONG Context;
    ULONG64 Rip;
} LOG_ROW;
static LOG_ROW Log[LOGGED];
static ULONG LogCount;
static BOOLEAN IsLogging;

static VOID LogNext(const CONTEXT_STATE *Context) {
    if (IsLogging && LogCount < LOGGED) {
        Log[LogCount++] = (LOG_ROW){(ULONG)(Context - Contexts), Context->Frame->Rip};
    }
}

/* ---- One schedule ---- */

static VOID Grant(VOID) {
    ULONG64 Until = min(TurnEnd, LIMIT_INSTRUCTIONS);
    while (Due < KT_PREEMPTIONS && Schedule.Preempt[Due] <= Steps) {
        Due++; /* nothing can be preempted there any more */
    }
    if (Due < KT_PREEMPTIONS) {
        Until = min(Until, Schedule.Preempt[Due]);
    }
    KtCountdown = Granted = IsLogging ? 1 : Until - Steps;
}

static VOID Become(CONTEXT_STATE *Context) {
    Current = Context;
    TurnEnd = Steps + TURN_INSTRUCTIONS;
    __writemsr(MSR_GS_BASE, (ULONG64)Context->Pcr);
    KiSetIrql(Context->Irql);
}

static BOOLEAN IsPlanned(VOID) {
    if (Due == KT_PREEMPTIONS || Schedule.Preempt[Due] != Steps) {
        return FALSE;
    }
    Due++;
    return TRUE;
}

/* The context that goes on; NULL: none does. */
static CONTEXT_STATE *NextContext(CONTEXT_STATE *Me, BOOLEAN GivesWay) {
    CONTEXT_STATE *Other = &Contexts[Me == &Contexts[0]];
    BOOLEAN IsPreempted = IsPlanned() && !Me->IsDone && !Other->IsDone;
    Made += IsPreempted;
    if (Steps >= LIMIT_INSTRUCTIONS || (Me->IsDone && Other->IsDone)) {
        return NULL;
    }
    return IsPreempted || Me->IsDone || (GivesWay && !Other->IsDone) ? Other : Me;
}

/* From KtStepTrap. Returns the frame that goes on. */
PVOID KtTurn(FRAME *Frame) {
    CONTEXT_STATE *Me = Current;
    BOOLEAN IsEarly = KtCountdown != 0; /* before a pause, or at the end: this instruction is not counted yet */
    Me->Frame = Frame;
    Me->Irql = KiCurrentIrql();
    Me->IsDone = Frame->Rip == (ULONG64)KtContextEnd;
    Steps += Granted - KtCountdown + IsEarly;
    CONTEXT_STATE *Next = NextContext(Me, IsEarly || Steps == TurnEnd);
    if (Next == NULL) {
        return KtMainFrame;
    }
    if (Next != Me || Steps == TurnEnd) {
        Become(Next);
    }
    Grant();
    LogNext(Next);
    return Next->Frame;
}

static VOID ResetContext(ULONG Index, const KT_EXPLORATION *What) {
    FRAME *Frame = (FRAME *)(Stacks[Index] + STACK_BYTES - 16 - sizeof(FRAME));
    ULONG64 *Return = (ULONG64 *)(Frame + 1);
    *Frame = (FRAME){.Rip = (ULONG64)What->Run[Index],
                     .Cs = SELECTOR_KERNEL_CODE,
                     .EFlags = EFLAGS_TF | EFLAGS_ALWAYS,
                     .Rsp = (ULONG64)Return,
                     .Ss = SELECTOR_KERNEL_DATA};
    *Return = (ULONG64)KtContextEnd;
    Contexts[Index].Frame = Frame;
    Contexts[Index].Irql = What->Irql;
    Contexts[Index].IsDone = FALSE;
}

/* IF = 0. TRUE: both contexts have returned, at the IRQL at which they began, and the rule holds. */
static BOOLEAN Try(const KT_EXPLORATION *What) {
    What->Prepare();
    Due = Made = LogCount = 0;
    Steps = 0;
    for (ULONG Index = 0; Index < KT_CONTEXTS; Index++) {
        ResetContext(Index, What);
    }
    PKPCR Pcr = KeGetPcr();
    KIRQL Irql = KiCurrentIrql();
    Become(&Contexts[Schedule.First]);
    Grant();
    LogNext(Current);
    KtRunContexts(Current->Frame);
    __writemsr(MSR_GS_BASE, (ULONG64)Pcr);
    KiSetIrql(Irql);
    for (ULONG Index = 0; Index < KT_CONTEXTS; Index++) {
        if (!Contexts[Index].IsDone || Contexts[Index].Irql != What->Irql) {
            return FALSE;
        }
    }
    return What->Holds();
}

/* ---- All schedules ---- */

static VOID Note(KT_FINDINGS *Findings, BOOLEAN IsRight) {
    Findings->Schedules++;
    Findings->Instructions += Steps;
    if (IsRight) {
        return;
    }
    if (Findings->Failures++ == 0 || Made < Findings->ShortestPreemptions ||
        (Made == Findings->ShortestPreemptions && Steps < Findings->ShortestInstructions)) {
        Findings->Shortest = Schedule;
        Findings->ShortestPreemptions = Made;
        Findings->ShortestInstructions = (ULONG)Steps;
    }
}

typedef struct _BATCH {
    const KT_EXPLORATION *What;
    KT_FINDINGS *Findings;
    ULONG First, Preempt; /* in: shared by all schedules of the batch */
    BOOLEAN IsLast;       /* out: after so many instructions there was nothing to preempt */
    BOOLEAN IsRight;      /* out, of one schedule: the rule held */
    volatile LONG StandingStill, IsOver;
} BATCH;

static VOID RunBatch(BATCH *Batch) {
    if (Batch->Findings == NULL) { /* the schedule that is set already */
        Batch->IsRight = Try(Batch->What);
        return;
    }
    Schedule = (KT_SCHEDULE){Batch->First, {Batch->Preempt, KT_NEVER}};
    BOOLEAN IsRight = Try(Batch->What);
    Batch->IsLast = Made == 0;
    if (Batch->IsLast && Batch->Preempt != KT_NEVER) {
        return; /* the same as without a preemption */
    }
    Note(Batch->Findings, IsRight);
    if (Batch->IsLast) {
        return;
    }
    for (Schedule.Preempt[1] = Batch->Preempt + 1;; Schedule.Preempt[1]++) {
        IsRight = Try(Batch->What);
        if (Made < KT_PREEMPTIONS) {
            return;
        }
        Note(Batch->Findings, IsRight);
    }
}

/* IF = 0. #DB has a gate of its own meanwhile. */
static VOID WithStepTrap(VOID (*Routine)(BATCH *), BATCH *Batch) {
    TABLE_POINTER Own = {sizeof(Gates) - 1, (ULONG64)Gates}, Kernels;
    ULONG64 Handler = (ULONG64)KtStepTrap;
    __asm__ volatile("sidt %0" : "=m"(Kernels));
    memcpy(Gates, (const void *)Kernels.Base, sizeof(Gates));
    Gates[VectorDebug].OffsetLow = (USHORT)Handler;
    Gates[VectorDebug].OffsetMiddle = (USHORT)(Handler >> 16);
    Gates[VectorDebug].OffsetHigh = (ULONG)(Handler >> 32);
    __asm__ volatile("lidt %0" : : "m"(Own));
    Routine(Batch);
    __asm__ volatile("lidt %0" : : "m"(Kernels));
}

/* On every CPU at once, at IPI_LEVEL: the boot CPU explores, the others stand still, and CPU 1 lends its PRCB. */
static ULONG_PTR Explore(ULONG_PTR Context) {
    BATCH *Batch = (BATCH *)Context;
    if (KeGetCurrentPrcb()->Number != 0) {
        InterlockedIncrement(&Batch->StandingStill);
        while (!Batch->IsOver) {
            YieldProcessor();
        }
        return 0;
    }
    while (Batch->StandingStill < (LONG)KeNumberProcessors - 1) {
        YieldProcessor();
    }
    _disable();
    for (ULONG Index = 0; Index < KT_CONTEXTS; Index++) {
        Contexts[Index].Pcr = CONTAINING_RECORD(KiProcessorBlock[Batch->What->SharesCpu ? 0 : Index], KPCR, Prcb);
    }
    WithStepTrap(RunBatch, Batch);
    _enable();
    Batch->IsOver = TRUE;
    return 0;
}

static VOID CallEverywhere(BATCH *Batch) {
    Batch->StandingStill = Batch->IsOver = FALSE;
    KeIpiGenericCall(Explore, (ULONG_PTR)Batch);
}

VOID KtExplore(const KT_EXPLORATION *What, KT_FINDINGS *Findings) {
    BATCH Batch = {.What = What, .Findings = Findings};
    *Findings = (KT_FINDINGS){0};
    KtPin(0);
    for (Batch.First = 0; Batch.First < KT_CONTEXTS; Batch.First++) {
        Batch.Preempt = KT_NEVER;
        CallEverywhere(&Batch);
        Batch.IsLast = FALSE;
        for (Batch.Preempt = 1; !Batch.IsLast; Batch.Preempt++) {
            CallEverywhere(&Batch);
        }
    }
    KtUnpin();
}

/* ---- The findings ---- */

static PCSTR FileOf(const KD_SYMBOL *Symbol) {
    return Symbol->File ? Symbol->File : "?";
}

/* One row for each source line that a context comes to. */
static VOID PrintLog(VOID) {
    ULONG Context = KT_CONTEXTS;
    KD_SYMBOL Last = {0}, Symbol;
    for (ULONG Index = 0; Index < LogCount; Index++) {
        if (!KdLookupAddress(Log[Index].Rip, &Symbol) || Symbol.Function == NULL ||
            (Log[Index].Context == Context && Symbol.Line == Last.Line && Symbol.Function == Last.Function)) {
            continue;
        }
        Context = Log[Index].Context;
        Last = Symbol;
        KdChannelf("# step %c %s:%u %s\n", 'A' + Context, FileOf(&Symbol), Symbol.Line, Symbol.Function);
    }
}

/* Tries one schedule, and writes down each instruction. TRUE: the rule holds. */
static BOOLEAN ShowSchedule(const KT_EXPLORATION *What, const KT_SCHEDULE *Shown) {
    BATCH Batch = {.What = What, .Findings = NULL};
    Schedule = *Shown;
    IsLogging = TRUE;
    KtPin(0);
    CallEverywhere(&Batch);
    KtUnpin();
    IsLogging = FALSE;
    KdChannelf("# schedule %c", 'A' + Shown->First);
    for (ULONG Index = 0; Index < KT_PREEMPTIONS && Shown->Preempt[Index] != KT_NEVER; Index++) {
        KdChannelf(",%u", Shown->Preempt[Index]);
    }
    KdChannelf("\n");
    PrintLog();
    return Batch.IsRight;
}

/* "A,5,15": A begins, B has the CPU after 5 instructions, A after 15. Anything else begins with A and preempts nowhere. */
static KT_SCHEDULE ReadSchedule(PCSTR Text) {
    KT_SCHEDULE Read = {Text[0] == 'B', {KT_NEVER, KT_NEVER}};
    Text += Text[0] != 0;
    for (ULONG Index = 0; Index < KT_PREEMPTIONS && *Text == ','; Index++) {
        Read.Preempt[Index] = 0;
        for (Text++; *Text >= '0' && *Text <= '9'; Text++) {
            Read.Preempt[Index] = Read.Preempt[Index] * 10 + (ULONG)(*Text - '0');
        }
    }
    return Read;
}

static VOID ExploreAll(const KT_EXPLORATION *What) {
    KT_FINDINGS Findings;
    KtExplore(What, &Findings);
    KdChannelf("# explored %llu %llu %llu\n", Findings.Schedules, Findings.Instructions, Findings.Failures);
    if (Findings.Failures) {
        ShowSchedule(What, &Findings.Shortest);
    }
    KT_EXPECT_EQ(Findings.Failures != 0, What->IsBroken);
}

VOID KtExpectExplored(const KT_EXPLORATION *What) {
    CHAR Text[32];
    KT_NEEDS_PROCESSORS(2);
    if (DBG) {
        KtSkip("the free build is explored: the checked one's notes on each lock are longer than the lock");
        return;
    }
    if (!KtIsSeeded()) {
        KtSkip("needs a seed: the other CPUs stand still, which costs a host's threads their time slices");
        return;
    }
    KdChannelf("# rule %s\n", What->Rule);
    if (KeGetBootOption("schedule", Text, sizeof(Text))) {
        KT_SCHEDULE Given = ReadSchedule(Text);
        KT_EXPECT(ShowSchedule(What, &Given));
    } else {
        ExploreAll(What);
    }
}

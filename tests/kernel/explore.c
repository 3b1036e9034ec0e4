/* explore.c: the exploration of schedules: which context runs next, and which schedule is tried next.
 *
 * A context is preempted where the schedule says so. It gives way by itself at a `pause`, when it has returned or sleeps, and
 * after many instructions, so that a wait without a pause ends too. A schedule that does not end breaks every rule, and so
 * does one at whose end a context sleeps.
 *
 * The schedules form a tree: one without a preemption for each context that begins, below it those with one at each of its
 * instructions, and below each of these those with a second. Of two neighbours, which preempt a context before and behind one
 * instruction, the second is not tried if the instruction touches nothing that the other context touches in its turn: the
 * two do the same. */
#include "explore-private.h"

#define STACK_BYTES 8192
#define TURN_INSTRUCTIONS 1024 /* unless the row says less: what waits without a pause spends them all */
#define LIMIT_INSTRUCTIONS 4096
#define PROGRESS_BATCHES 16
#define EFLAGS_TF 0x100
#define EFLAGS_ALWAYS 2

typedef struct _CONTEXT_STATE {
    FRAME *Frame;
    PKPCR Pcr;
    KIRQL Irql;
    BOOLEAN IsDone;
} CONTEXT_STATE;

ULONG64 KtCountdown; /* instructions until the next turn */
ULONG64 KtFaults;    /* contexts that a page fault has ended */
FRAME *KtMainFrame;  /* of the explorer itself */

static DECLSPEC_ALIGN(16) UCHAR Stacks[KT_CONTEXTS][STACK_BYTES];
static CONTEXT_STATE Contexts[KT_CONTEXTS];
static CONTEXT_STATE *Current;

static KT_SCHEDULE Schedule;   /* that is tried */
static ULONG Due, Made;        /* of its preemptions: come to, and made; none is where the other context cannot go on */
static ULONG64 Steps, Granted; /* instructions of both contexts */
static ULONG64 Turn, TurnEnd;  /* then the other one has its turn though nothing is planned */

/* What is written down of a schedule: from its last preemption on, and of one that has others below it all the rest. */
typedef struct _LOG {
    ULONG From, End, SwitchedAt;                /* SwitchedAt: the end of the turn that begins at From */
    BOOLEAN IsWhole;                            /* not only that turn */
    KT_STEP Steps[LIMIT_INSTRUCTIONS + 1];      /* in place n: behind n instructions */
    KT_ACCESS Accesses[LIMIT_INSTRUCTIONS + 1]; /* of the instruction that follows */
} LOG;
static LOG Logs[KT_PREEMPTIONS + 1]; /* by the number of preemptions */
static LOG *Log;

static BOOLEAN IsLogging(VOID) {
    return Steps >= Log->From && (Log->IsWhole || Log->SwitchedAt == 0);
}

static VOID LogNext(const CONTEXT_STATE *Context, BOOLEAN MaySwitch) {
    if (Steps > Log->From && Log->SwitchedAt == 0 && Log->Steps[Steps - 1].Context != Context - Contexts) {
        Log->SwitchedAt = (ULONG)Steps;
    }
    if (IsLogging()) {
        Log->Steps[Steps] = (KT_STEP){Context->Frame->Rip, (UCHAR)(Context - Contexts), Context->Irql, MaySwitch};
        Log->Accesses[Steps] = KtAccessOf(Context->Frame, Context->Pcr);
        Log->End = (ULONG)Steps + 1;
    }
}

/* ---- One schedule ---- */

/* It is in its idle thread, and no thread has been made ready for it. */
static BOOLEAN IsAsleep(const CONTEXT_STATE *Context) {
    return Context->Frame->Rip == (ULONG64)KtSleeping && Context->Pcr->Prcb.NextThread == NULL;
}

static BOOLEAN CanGoOn(const CONTEXT_STATE *Context) {
    return !Context->IsDone && !IsAsleep(Context);
}

static VOID Grant(VOID) {
    ULONG64 Until = min(TurnEnd, LIMIT_INSTRUCTIONS);
    while (Due < KT_PREEMPTIONS && Schedule.Preempt[Due] <= Steps) {
        Due++; /* nothing can be preempted there any more */
    }
    if (Due < KT_PREEMPTIONS) {
        Until = min(Until, Schedule.Preempt[Due]);
    }
    if (Steps < Log->From) {
        Until = min(Until, Log->From);
    }
    KtCountdown = Granted = IsLogging() ? 1 : Until - Steps;
}

static VOID Become(CONTEXT_STATE *Context) {
    Current = Context;
    TurnEnd = Steps + Turn;
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

/* The context that goes on; NULL: none does. *MaySwitch: the other one could. */
static CONTEXT_STATE *NextContext(CONTEXT_STATE *Me, BOOLEAN GivesWay, BOOLEAN *MaySwitch) {
    CONTEXT_STATE *Other = &Contexts[Me == &Contexts[0]];
    BOOLEAN ICan = CanGoOn(Me), OtherCan = CanGoOn(Other);
    BOOLEAN IsPreempted = IsPlanned() && ICan && OtherCan;
    Made += IsPreempted;
    *MaySwitch = ICan && OtherCan && !GivesWay && !IsPreempted;
    if (Steps >= LIMIT_INSTRUCTIONS || (!ICan && !OtherCan)) {
        return NULL;
    }
    return OtherCan && (IsPreempted || GivesWay || !ICan) ? Other : Me;
}

/* From KtStepTrap. Returns the frame that goes on. */
PVOID KtTurn(FRAME *Frame) {
    CONTEXT_STATE *Me = Current;
    BOOLEAN IsEarly = KtCountdown != 0; /* before a pause, or at the end: this instruction is not counted yet */
    BOOLEAN MaySwitch;
    Me->Frame = Frame;
    Me->Irql = KiCurrentIrql();
    Me->IsDone = Frame->Rip == (ULONG64)KtContextEnd;
    Steps += Granted - KtCountdown + IsEarly;
    CONTEXT_STATE *Next = NextContext(Me, IsEarly || Steps == TurnEnd, &MaySwitch);
    if (Next == NULL) {
        return KtMainFrame;
    }
    if (Next != Me || Steps == TurnEnd) {
        Become(Next);
    }
    LogNext(Next, MaySwitch);
    Grant();
    return Next->Frame;
}

static VOID ResetContext(ULONG Index, const KT_EXPLORATION *What) {
    ULONG64 *Return =
        (ULONG64 *)(Stacks[Index] + STACK_BYTES) - 3; /* rsp as a call leaves it: 8 above a multiple of 16 */
    FRAME *Frame = (FRAME *)Return - 1;
    *Frame = (FRAME){.Rip = (ULONG64)What->Run[Index],
                     .Cs = SELECTOR_KERNEL_CODE,
                     .EFlags = EFLAGS_TF | EFLAGS_ALWAYS,
                     .Rsp = (ULONG64)Return,
                     .Ss = SELECTOR_KERNEL_DATA};
    *Return = (ULONG64)KtContextEnd;
    Contexts[Index] = (CONTEXT_STATE){.Frame = Frame, .Pcr = KtPcrOf(What, Index), .Irql = What->Irql};
}

static KT_ENDING SleepersOf(VOID) {
    return Contexts[1].IsDone ? KtASleeps : Contexts[0].IsDone ? KtBSleeps : KtBothSleep;
}

static KT_ENDING EndingOf(const KT_EXPLORATION *What) {
    if (KtFaults != 0 && !What->MayFault) {
        return KtFaulted;
    }
    for (ULONG Index = 0; Index < KT_CONTEXTS; Index++) {
        if (!Contexts[Index].IsDone) {
            return Steps >= LIMIT_INSTRUCTIONS ? KtEndless : SleepersOf();
        }
        if (Contexts[Index].Irql != What->Irql && KtFaults == 0) {
            return KtWrongIrql;
        }
    }
    return What->Holds() ? KtHeld : KtBroken;
}

/* IF = 0. The schedule is written down from so many instructions on. */
static KT_ENDING Try(const KT_EXPLORATION *What, ULONG LogFrom) {
    KtResetCpus(What);
    What->Prepare();
    Log->From = LogFrom;
    Log->End = Log->SwitchedAt = 0;
    Due = Made = 0;
    Steps = KtFaults = 0;
    Turn = What->Turn ? What->Turn : TURN_INSTRUCTIONS;
    for (ULONG Index = 0; Index < KT_CONTEXTS; Index++) {
        ResetContext(Index, What);
    }
    PKPCR Pcr = KeGetPcr();
    KIRQL Irql = KiCurrentIrql();
    Become(&Contexts[Schedule.First]);
    LogNext(Current, FALSE);
    Grant();
    KtRunContexts(Current->Frame);
    __writemsr(MSR_GS_BASE, (ULONG64)Pcr);
    KiSetIrql(Irql);
    return EndingOf(What);
}

/* ---- Which schedules differ ---- */

#define MARKS 4096 /* of eight bytes of memory each; two that share one are taken for the same */
static ULONG Marks[MARKS], Epoch;
static BOOLEAN IsEverythingMarked, TriesAlike; /* TriesAlike: also those that do the same */

static ULONG PlaceOf(ULONG64 Address) {
    return (ULONG)((Address >> 3) * 0x9E3779B97F4A7C15ULL >> 52);
}

static VOID Mark(KT_ACCESS Access) {
    IsEverythingMarked |= Access.Bytes == KT_EVERYTHING;
    for (ULONG64 At = Access.Address & ~7ULL; At < Access.Address + Access.Bytes && !IsEverythingMarked; At += 8) {
        Marks[PlaceOf(At)] = Epoch;
    }
}

static BOOLEAN IsMarked(KT_ACCESS Access) {
    if (IsEverythingMarked || Access.Bytes == KT_EVERYTHING) {
        return Access.Bytes != 0;
    }
    for (ULONG64 At = Access.Address & ~7ULL; At < Access.Address + Access.Bytes; At += 8) {
        if (Marks[PlaceOf(At)] == Epoch) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Marks what the context touches whose turn began with the last preemption of the schedule that was tried. */
static VOID MarkTurn(const KT_EXPLORATION *What, const LOG *Tried) {
    ULONG End = Tried->SwitchedAt ? Tried->SwitchedAt : Tried->End;
    Epoch++;
    IsEverythingMarked = What->ChangesPtes || TriesAlike;
    for (ULONG At = Tried->From; At < End; At++) {
        Mark(Tried->Accesses[At]);
    }
}

static VOID MarkEverything(VOID) {
    IsEverythingMarked = TRUE;
}

/* The next preemption of the schedule in Above, behind At, that differs from the one there. KT_NEVER: there is none. */
static ULONG NextPoint(const LOG *Above, ULONG At) {
    BOOLEAN Differs = FALSE;
    for (ULONG Next = At + 1; Next < Above->End; Next++) {
        Differs |= IsMarked(Above->Accesses[Next - 1]) || Above->Steps[Next].Context != Above->Steps[Next - 1].Context;
        if (Differs && Above->Steps[Next].MaySwitch) {
            return Next;
        }
    }
    return KT_NEVER;
}

/* ---- All schedules ---- */

typedef struct _BATCH {
    const KT_EXPLORATION *What;
    KT_FINDINGS *Findings;
    ULONG First, Preempt; /* shared by all schedules of the batch; Preempt then becomes the next batch's */
} BATCH;

static VOID Note(KT_FINDINGS *Findings, KT_ENDING Ending) {
    Findings->Schedules++;
    Findings->Instructions += Steps;
    if (Ending == KtHeld) {
        return;
    }
    if (Findings->Failures++ == 0 || Made < Findings->ShortestPreemptions ||
        (Made == Findings->ShortestPreemptions && Steps < Findings->ShortestInstructions)) {
        Findings->Shortest = Schedule;
        Findings->ShortestPreemptions = Made;
        Findings->ShortestInstructions = (ULONG)Steps;
    }
}

/* Tries Schedule, which has so many preemptions, and writes it down from the last one on. */
static VOID TryOne(const BATCH *Batch, ULONG Preemptions, BOOLEAN IsWhole) {
    Log = &Logs[Preemptions];
    Log->IsWhole = IsWhole;
    Note(Batch->Findings, Try(Batch->What, Preemptions ? Schedule.Preempt[Preemptions - 1] : 0));
}

static VOID RunFirst(PVOID Context) {
    BATCH *Batch = Context;
    Schedule = (KT_SCHEDULE){Batch->First, {KT_NEVER, KT_NEVER}};
    TryOne(Batch, 0, TRUE);
    MarkEverything();
    Batch->Preempt = NextPoint(&Logs[0], 0);
}

/* With one preemption, and with each second one behind it. */
static VOID RunBatch(PVOID Context) {
    BATCH *Batch = Context;
    Schedule = (KT_SCHEDULE){Batch->First, {Batch->Preempt, KT_NEVER}};
    TryOne(Batch, 1, TRUE);
    MarkEverything();
    for (ULONG At = Batch->Preempt; (At = NextPoint(&Logs[1], At)) != KT_NEVER;) {
        Schedule.Preempt[1] = At;
        TryOne(Batch, 2, FALSE);
        MarkTurn(Batch->What, &Logs[2]);
    }
    MarkTurn(Batch->What, &Logs[1]);
    Batch->Preempt = NextPoint(&Logs[0], Batch->Preempt);
}

static BOOLEAN Open(const KT_EXPLORATION *What) {
    if (What->Begin != NULL && !What->Begin()) {
        return FALSE;
    }
    if (KtOpenCpus(What)) {
        return TRUE;
    }
    if (What->End != NULL) {
        What->End();
    }
    return FALSE;
}

static VOID Close(const KT_EXPLORATION *What) {
    KtCloseCpus(What);
    if (What->End != NULL) {
        What->End();
    }
}

BOOLEAN KtExplore(const KT_EXPLORATION *What, BOOLEAN Alike, KT_FINDINGS *Findings) {
    BATCH Batch = {.What = What, .Findings = Findings};
    *Findings = (KT_FINDINGS){0};
    TriesAlike = Alike;
    if (!Open(What)) {
        return FALSE;
    }
    for (Batch.First = 0; Batch.First < KT_CONTEXTS; Batch.First++) {
        KtCallAlone(What, RunFirst, &Batch);
        for (ULONG Count = 1; Batch.Preempt != KT_NEVER; Count++) {
            if (Count % PROGRESS_BATCHES == 0) {
                KdChannelf("# progress %c %u %u\n", 'A' + Batch.First, Batch.Preempt, Logs[0].End);
            }
            KtCallAlone(What, RunBatch, &Batch);
        }
    }
    Close(What);
    return TRUE;
}

typedef struct _ONE {
    const KT_EXPLORATION *What;
    KT_ENDING Ending;
} ONE;

static VOID RunOne(PVOID Context) {
    ONE *One = Context;
    Log = &Logs[0];
    Log->IsWhole = TRUE;
    One->Ending = Try(One->What, 0);
}

KT_ENDING KtTrySchedule(const KT_EXPLORATION *What, const KT_SCHEDULE *Tried, const KT_STEP **Written, ULONG *Count) {
    ONE One = {.What = What, .Ending = KtBroken};
    *Count = 0;
    if (Open(What)) {
        Schedule = *Tried;
        KtCallAlone(What, RunOne, &One);
        Close(What);
        *Written = Log->Steps;
        *Count = Log->End;
    }
    return One.Ending;
}

/* explorereport.c: an exploration as a test: what is asked for on the command line, and what goes to COM2.
 *
 *      # rule ...                              of each
 *      # explored SCHEDULES INSTRUCTIONS BROKEN
 *      # schedule A,5,15                       the shortest that breaks the rule, or the one asked for by schedule=A,5,15
 *      # step A 4 2 FILE:LINE FUNCTION         a line that a context comes to: behind 4 instructions, at IRQL 2
 *      # end 23 ...                            how it ended, after 23 instructions */
#include "explore.h"
#include <ldr.h>

static PCSTR const Endings[] = {
    [KtHeld] = "the rule holds",
    [KtBroken] = "both are at their end, and the rule is broken",
    [KtEndless] = "no end is in sight: the one waits for the other",
    [KtASleeps] = "A sleeps, and nothing is left that would wake it",
    [KtBSleeps] = "B sleeps, and nothing is left that would wake it",
    [KtBothSleep] = "both sleep, and nothing is left that would wake them",
    [KtWrongIrql] = "one returns at another IRQL than it was called at",
    [KtFaulted] = "one touches memory that is not there",
};

static PCSTR FileOf(const KD_SYMBOL *Symbol) {
    return Symbol->File ? Symbol->File : "?";
}

/* One row for each source line that a context comes to. */
static VOID PrintSteps(const KT_STEP *Steps, ULONG Count) {
    ULONG Context = KT_CONTEXTS;
    KD_SYMBOL Last = {0}, Symbol;
    for (ULONG Index = 0; Index < Count; Index++) {
        if (!KdLookupAddress(Steps[Index].Rip, &Symbol) || Symbol.Function == NULL ||
            (Steps[Index].Context == Context && Symbol.Line == Last.Line && Symbol.Function == Last.Function)) {
            continue;
        }
        Context = Steps[Index].Context;
        Last = Symbol;
        KdChannelf("# step %c %u %u %s:%u %s\n", 'A' + Context, Index, Steps[Index].Irql, FileOf(&Symbol), Symbol.Line,
                   Symbol.Function);
    }
}

/* Tries one schedule, and writes down each line. TRUE: the rule holds. */
static BOOLEAN ShowSchedule(const KT_EXPLORATION *What, const KT_SCHEDULE *Shown) {
    const KT_STEP *Steps = NULL;
    ULONG Count;
    KT_ENDING Ending = KtTrySchedule(What, Shown, &Steps, &Count);
    KdChannelf("# schedule %c", 'A' + Shown->First);
    for (ULONG Index = 0; Index < KT_PREEMPTIONS && Shown->Preempt[Index] != KT_NEVER; Index++) {
        KdChannelf(",%u", Shown->Preempt[Index]);
    }
    KdChannelf("\n");
    PrintSteps(Steps, Count);
    KdChannelf("# end %u %s\n", Count, Endings[Ending]);
    return Ending == KtHeld;
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
    KT_EXPECT(KtExplore(What, KeGetBootOption("alike", NULL, 0), &Findings));
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

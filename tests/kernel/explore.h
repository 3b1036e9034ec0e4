/* explore.h: all schedules of two contexts with at most two preemptions, an instruction at a time.
 *
 * A KEXPLORE row names what is explored: a fragment for each context, how the state begins, and the rule that holds when both
 * have returned. Each context is a CPU to the code that it runs: it has an IRQL, a PRCB and a current thread of its own. What
 * one instruction does is done at once; so a read-modify-write without LOCK looks whole, and a store is seen at once by both:
 * real threads find those (docs/exploring.md). */
#ifndef _EXPLORE_H_
#define _EXPLORE_H_

#include "ktest.h"

#define KT_CONTEXTS 2
#define KT_PREEMPTIONS 2
#define KT_NEVER (~0u)

typedef struct DECLSPEC_ALIGN(64) _KT_EXPLORATION {
    PCSTR Name, Rule; /* the rule, broken when Holds says FALSE */
    BOOLEAN (*Begin)(
        VOID);             /* before all schedules, at PASSIVE_LEVEL. FALSE: the test has failed. NULL: nothing to do */
    VOID (*End)(VOID);     /* after all */
    VOID (*Prepare)(VOID); /* before each schedule. IF = 0, no calls that wait */
    VOID (*Run[KT_CONTEXTS])(VOID); /* at Irql; the same IRQL on return */
    BOOLEAN (*Holds)(VOID);         /* after each schedule. IF = 0 */
    ULONG Turn; /* instructions after which a context gives way, for a wait without a pause; 0: many */
    KIRQL Irql;
    BOOLEAN SharesCpu; /* both have the PRCB of the boot CPU */
    BOOLEAN Sleeps;    /* each context is a CPU with a thread and an idle thread of its own: Run may wait */
    BOOLEAN SaysOne;   /* KeNumberProcessors is 1: no spinning before a sleep, no IPI to flush a TLB that both share */
    BOOLEAN ChangesPtes; /* so what an address stands for changes: no two accesses are known to be apart */
    BOOLEAN MayFault;    /* at a page fault a context ends: the access has not been made */
    BOOLEAN IsBroken;    /* a schedule that breaks the rule must be found: the engine's own test */
} KT_EXPLORATION;

#define KEXPLORE(Id_, ...)                                                                    \
    static const KT_EXPLORATION Id_##Exploration                                              \
        __attribute__((used, no_reorder, section("kexplore"))) = {.Name = #Id_, __VA_ARGS__}; \
    KTEST_ALONE(explore_##Id_) {                                                              \
        KtExpectExplored(&Id_##Exploration);                                                  \
    }
#define KT_BOTH(Routine_) .Run = {Routine_, Routine_}

/* The context that begins, and after how many instructions of both together the CPU goes to the other one. */
typedef struct _KT_SCHEDULE {
    ULONG First;
    ULONG Preempt[KT_PREEMPTIONS]; /* ascending; KT_NEVER: no more */
} KT_SCHEDULE;

typedef enum _KT_ENDING {
    KtHeld,
    KtBroken,
    KtEndless,
    KtASleeps,
    KtBSleeps,
    KtBothSleep,
    KtWrongIrql,
    KtFaulted
} KT_ENDING;

typedef struct _KT_FINDINGS {
    ULONG64 Schedules, Instructions, Failures;
    KT_SCHEDULE Shortest; /* of the failures: fewest preemptions, then fewest instructions */
    ULONG ShortestPreemptions, ShortestInstructions;
} KT_FINDINGS;

/* An instruction that a context came to: of a schedule that is written down. */
typedef struct _KT_STEP {
    ULONG64 Rip;
    UCHAR Context;
    UCHAR Irql;
    BOOLEAN MaySwitch; /* the other one could go on in its place */
} KT_STEP;

/* Tries every schedule that differs from the others. PASSIVE_LEVEL, two CPUs; the other CPUs stand still for some
 * milliseconds at a time. Alike: also of those that do the same. FALSE: Begin has failed. */
BOOLEAN KtExplore(const KT_EXPLORATION *What, BOOLEAN Alike, KT_FINDINGS *Findings);
/* Tries one, and writes down its steps, which stay until the next call. */
KT_ENDING KtTrySchedule(const KT_EXPLORATION *What, const KT_SCHEDULE *Schedule, const KT_STEP **Steps, ULONG *Count);
/* The same as a test; on COM2 the counts, and the shortest schedule that breaks the rule, as source lines. */
VOID KtExpectExplored(const KT_EXPLORATION *What);

#endif

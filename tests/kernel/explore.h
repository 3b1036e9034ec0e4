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
    PCSTR Name, Rule;               /* the rule, broken when Holds says FALSE */
    VOID (*Prepare)(VOID);          /* before each schedule. IF = 0, no calls that wait */
    VOID (*Run[KT_CONTEXTS])(VOID); /* at Irql; the same IRQL on return */
    BOOLEAN (*Holds)(VOID);         /* after each schedule. IF = 0 */
    KIRQL Irql;
    BOOLEAN SharesCpu; /* both have the PRCB of the boot CPU */
    BOOLEAN IsBroken;  /* a schedule that breaks the rule must be found: the engine's own test */
} KT_EXPLORATION;

#define KEXPLORE(Id_, ...)                                                                    \
    static const KT_EXPLORATION Id_##Exploration                                              \
        __attribute__((used, no_reorder, section("kexplore"))) = {.Name = #Id_, __VA_ARGS__}; \
    KTEST_ALONE(explore_##Id_) {                                                              \
        KtExpectExplored(&Id_##Exploration);                                                  \
    }

/* The context that begins, and after how many instructions of both together the CPU goes to the other one. */
typedef struct _KT_SCHEDULE {
    ULONG First;
    ULONG Preempt[KT_PREEMPTIONS]; /* ascending; KT_NEVER: no more */
} KT_SCHEDULE;

typedef struct _KT_FINDINGS {
    ULONG64 Schedules, Instructions, Failures;
    KT_SCHEDULE Shortest; /* of the failures: fewest preemptions, then fewest instructions */
    ULONG ShortestPreemptions, ShortestInstructions;
} KT_FINDINGS;

/* Tries every schedule. PASSIVE_LEVEL, two CPUs; the other CPUs stand still for some milliseconds at a time. */
VOID KtExplore(const KT_EXPLORATION *What, KT_FINDINGS *Findings);
/* The same as a test; on COM2 the counts, and the shortest schedule that breaks the rule, as source lines. */
VOID KtExpectExplored(const KT_EXPLORATION *What);

#endif

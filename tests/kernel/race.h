/* race.h: a meeting of two CPUs, short enough that every place where one may be preempted can be tried.
 *
 * A KRACE row names a routine for each of two threads, how the state begins, and the rule that holds when both have returned.
 * They run on CPUs 0 and 1, in both orders: left alone, a seeded run without jitter runs the one to its end, or to where it
 * waits, and then the other. tools/bugcheck explore preempts them in between (docs/exploring.md); under seeds and real threads
 * they are tests like any other. */
#ifndef _RACE_H_
#define _RACE_H_

#include "ktest.h"

typedef struct DECLSPEC_ALIGN(64) _KT_RACE {
    PCSTR Name, Rule; /* the rule, broken when Holds says FALSE, a KT_EXPECT fails, or the machine does not go on */
    VOID (*Prepare)(VOID); /* PASSIVE_LEVEL */
    VOID (*Run[2])(VOID);  /* PASSIVE_LEVEL, on two CPUs at once */
    BOOLEAN (*Holds)(VOID);
} KT_RACE;

/* A broken one is broken on purpose: it runs only when test= names it in full. */
#define KRACE_DEFINE(Id_, Kind_, ...)                                                                                  \
    static const KT_RACE Id_##Race __attribute__((used, no_reorder, section("kraces"))) = {.Name = #Id_, __VA_ARGS__}; \
    KTEST_DEFINE(Id_, Kind_) {                                                                                         \
        KtRunRace(&Id_##Race);                                                                                         \
    }
#define KRACE(Id_, ...) KRACE_DEFINE(race_##Id_, KtConcurrent, __VA_ARGS__)
#define KRACE_BROKEN(Id_, ...) KRACE_DEFINE(race_broken_##Id_, KtNamed, __VA_ARGS__)

VOID KtRunRace(const KT_RACE *Race);
/* The meeting, for a tool to find it: from the entry of the one to the entry of the other. */
VOID KtMeetingBegins(VOID);
VOID KtMeetingEnds(VOID);

#endif

/* ktest.h: the frame of a test inside the kernel: KTEST(Name_states_the_rule) { ... KT_EXPECT(...); }
 *
 * Each test runs on a fresh system thread, at PASSIVE_LEVEL, priority 8, within a limit of guest time; it leaves the
 * machine as it found it. test=PREFIX on the kernel's command line runs the tests whose name starts so, test=all all
 * of them, test=concurrent all but those of KTEST_ALONE, test=list names them. The results go to COM2 as KTAP.
 */
#ifndef _KTEST_H_
#define _KTEST_H_

#include <arch.h>
#include <ex.h>
#include <kd.h>
#include <mm.h>
#include <ps.h>

typedef enum _KTEST_KIND { KtConcurrent, KtAlone, KtNamed, KtCrash } KTEST_KIND; /* KtNamed: race.h */

typedef struct _KTEST_CASE {
    PCSTR Name;
    VOID (*Run)(VOID);
    PCSTR File;
    KTEST_KIND Kind;
} KTEST_CASE;

/* The cases of all files are found as one array: the module's section "ktests". */
#define KTEST_DEFINE(Name_, Kind_)                                                                            \
    static VOID Name_(VOID);                                                                                  \
    static const KTEST_CASE Name_##Case                                                                       \
        __attribute__((used, no_reorder, section("ktests"), aligned(32))) = {#Name_, Name_, __FILE__, Kind_}; \
    static VOID Name_(VOID)
#define KTEST(Name_) KTEST_DEFINE(Name_, KtConcurrent)
/* A test of one thread: another schedule cannot change its findings, and it costs a good part of a second. The host
 * runs it under two seeds, not under each. */
#define KTEST_ALONE(Name_) KTEST_DEFINE(Name_, KtAlone)
/* Must stop the machine; runs only when test= names it in full. The host compares code and parameters. */
#define KTEST_CRASH(Name_) KTEST_DEFINE(crash_##Name_, KtCrash)

/* Fails the test and goes on. Any IRQL. */
#define KT_EXPECT(e) ((e) ? (void)0 : KtFail(__FILE__, __LINE__, #e))
#define KT_EXPECT_EQ(a, b) KtExpectEqual(__FILE__, __LINE__, #a " == " #b, (ULONG64)(a), (ULONG64)(b))
/* Fails the test and leaves the function. */
#define KT_REQUIRE(e)                       \
    do {                                    \
        if (!(e)) {                         \
            KtFail(__FILE__, __LINE__, #e); \
            return;                         \
        }                                   \
    } while (0)
/* The machine lacks what the test needs. */
#define KT_NEEDS_PROCESSORS(n)           \
    do {                                 \
        if (KeNumberProcessors < (n)) {  \
            KtSkip("needs " #n " CPUs"); \
            return;                      \
        }                                \
    } while (0)
/* Waits for a condition, never for a time; the test's own limit ends a wait in vain. PASSIVE_LEVEL. */
#define KT_WAIT_UNTIL(e) \
    while (!(e)) {       \
        KtSleep(1);      \
    }

VOID KtFail(PCSTR File, ULONG Line, PCSTR Expression);
VOID KtExpectEqual(PCSTR File, ULONG Line, PCSTR Expression, ULONG64 A, ULONG64 B);
VOID KtSkip(PCSTR Reason);
VOID KtSleep(ULONG Milliseconds);

/* Passes some time on this CPU without `pause`, which costs QEMU more than a thousand other instructions when they are
 * counted. For loops that wait for a tick of their own CPU; loops that wait for another CPU say YieldProcessor. */
static FORCEINLINE VOID KtSpin(VOID) {
    for (ULONG Round = 0; Round < 1000; Round++) {
        _ReadWriteBarrier();
    }
}

/* How often to try: all of Full on a free-running machine of one or two CPUs, a part of it where there are more than
 * the host may have, or where each instruction is counted (seed=). */
ULONG KtStress(ULONG Full);
ULONG KtRendezvous(ULONG Full); /* the same where each step needs every CPU, or one certain CPU, to be running */
BOOLEAN KtIsSeeded(VOID);

/* Pseudo-random numbers of a test's own: the same ones for the same seed= and salt. */
typedef struct _KT_RANDOM {
    ULONG64 State;
} KT_RANDOM;
VOID KtSeedRandom(KT_RANDOM *Random, ULONG64 Salt);
ULONG KtRandom(KT_RANDOM *Random, ULONG Limit); /* 0 .. Limit - 1 */

/* A thread of the test's. The structure lives until KtJoin has returned. */
#define KT_ANY_PROCESSOR 0xFFFFFFFFu
typedef struct _KT_THREAD {
    PETHREAD Thread;
    VOID (*Routine)(PVOID Context);
    PVOID Context;
    ULONG Processor;
} KT_THREAD;
/* FALSE, and the test has failed, when there is no thread to be had. */
BOOLEAN KtCreateThread(KT_THREAD *Thread, PCSTR Name, KPRIORITY Priority, ULONG Processor,
                       VOID (*Routine)(PVOID Context), PVOID Context);
VOID KtJoin(KT_THREAD *Thread);
VOID KtPin(ULONG Processor); /* the calling thread stays on this CPU until KtUnpin */
VOID KtUnpin(VOID);
/* Runs Routine on a thread on each CPU, all at the same time, and returns when all have returned. */
VOID KtRunOnAllCpus(VOID (*Routine)(ULONG Processor, PVOID Context), PVOID Context);

/* ---- Measuring (the word bench on the command line): bench.c ---- */
typedef struct _KBENCH_CASE {
    PCSTR Name;
    PCSTR Unit;
    ULONG64 Reach;            /* 0: there is none to compare with */
    ULONG64 (*Measure)(VOID); /* in hundredths of the unit */
} KBENCH_CASE;
#define KBENCH(Id_, Name_, Unit_, Reach_)                                                                  \
    static ULONG64 Id_(VOID);                                                                              \
    static const KBENCH_CASE Id_##Case                                                                     \
        __attribute__((used, no_reorder, section("kbenches"), aligned(32))) = {Name_, Unit_, Reach_, Id_}; \
    static ULONG64 Id_(VOID)
VOID KtRunBenches(const KBENCH_CASE *Cases, ULONG Count);

/* The time-stamp counter counts instructions under QEMU's -icount shift=0. Hundredths of a count for one Statement: the
 * quickest of some batches, because only interrupts make one slower, less an empty loop. */
#define KT_BATCH 64
#define KT_BATCHES 16
#define KT_QUICKEST(Statement)                                    \
    ({                                                            \
        ULONG64 Quickest_ = ~0ULL;                                \
        for (ULONG Batch_ = 0; Batch_ < KT_BATCHES; Batch_++) {   \
            ULONG64 Start_ = __rdtsc();                           \
            for (ULONG Round_ = 0; Round_ < KT_BATCH; Round_++) { \
                _ReadWriteBarrier();                              \
                Statement;                                        \
            }                                                     \
            ULONG64 Spent_ = __rdtsc() - Start_;                  \
            Quickest_ = Spent_ < Quickest_ ? Spent_ : Quickest_;  \
        }                                                         \
        Quickest_;                                                \
    })
#define KT_MEASURE(Statement) ((KT_QUICKEST(Statement) - KT_QUICKEST((void)0)) * 100 / KT_BATCH)

#endif

/* newcpu.pml: a CPU that comes up during a shoot-down (KeFlushTb of kernel/ke/ipi.c, KeActivateProcessor).
 *
 * CPU 0 changes a PTE by a plain store, flushes every CPU that it counts, and gives the page away. The others come up one
 * after the other: each counts itself, flushes its TLB, and then uses the page. A TLB may look the PTE up at any time, wanted
 * or not. A word of a TLB: 0 nothing, 1 the old translation, 2 the new one.
 *
 * words: Pte, OtherCpus
 * mutation no_barrier: nothing keeps the sender's load of the count behind its store to the PTE
 * mutation count_before_pte: the sender counts the CPUs first, and changes the PTE afterwards
 * mutation flush_before_count: a CPU flushes its TLB first, and counts itself afterwards */
#define PTE 0
#define COUNT 1
#define WORDS 2
#define DEPTH 2
#include "tso.h"

#define OLD 0
#define NEW 1
#define FORGET() d_step { Tlb[me] = 0 }

byte Tlb[CPUS];
bool Pending[CPUS];                     /* the sender's interrupt has come */
bool IsGivenAway;                       /* the shoot-down is over, and the page has another owner */

inline Send() {
    byte Count, Other;
#ifdef MUTATION_count_before_pte
    LOAD(Count, COUNT);
#endif
    STORE(PTE, NEW);
#ifndef MUTATION_no_barrier
    FENCE();                            /* KeMemoryBarrier in KeFlushTb */
#endif
#ifndef MUTATION_count_before_pte
    LOAD(Count, COUNT);
#endif
    Other = 1;                          /* tidy */
    do
    :: Other <= Count ->
       Pending[Other] = true;
       Other++                          /* tidy */
    :: else -> break
    od;
    Other = 1;                          /* tidy */
    do
    :: Other <= Count ->
       !Pending[Other];
       Other++                          /* tidy */
    :: else -> break
    od;
    skip;                               /* spin: no jump into a d_step */
    FORGET();
    IsGivenAway = true
}

inline MayLookUp() {
    if
    :: Tlb[me] = SEEN(PTE) + 1
    :: true
    fi;
    skip                                /* spin: no jump into a d_step */
}

inline ComeUp() {
    byte Before;
    MayLookUp();
    SEEN(COUNT) == me - 1;              /* CPUs come up in the order of their numbers */
#ifdef MUTATION_flush_before_count
    FORGET();
    MayLookUp();
    XCHG(Before, COUNT, me)
#else
    XCHG(Before, COUNT, me);
    MayLookUp();
    FORGET()
#endif
}

active [CPUS] proctype Cpu() {
    if
    :: me == 0 -> Send()
    :: else -> ComeUp()
    fi;
end:
    do
    :: Pending[me] -> FORGET(); Pending[me] = false
    :: Tlb[me] == 0 -> Tlb[me] = SEEN(PTE) + 1
    :: Tlb[me] != 0 -> assert(Tlb[me] == 2 || !IsGivenAway)  /* no CPU uses a translation of a page that was given away */
    od
}

/* queuedlock.pml: the in-stack queued lock of arch/x86_64/queuedlock.asm: handed on in the order of arrival.
 *
 * Each CPU acquires and releases with one handle, as often as it likes. A pointer to a CPU's handle is its number + 1.
 *
 * words: Lock, Handle.Lock[CPU], Handle.Next[CPU], Data
 * mutation link_before_wait: a waiter is linked behind the one before it, and marks its handle as waiting afterwards
 * mutation free_without_compare: a release without a waiter looks at the lock word, and then stores 0
 * mutation pass_before_store: the lock is handed on before the last store that it guards
 * mutation pass_to_tail (3 CPUs): a release hands the lock to the last in the queue
 * mutation forget_the_late (3 CPUs): a release does not wait for the Next of a CPU that is about to write it */
#define OWNER 2
#define WAIT 1
#define LOCK 0
#define HANDLE_LOCK(Cpu_) (1 + (Cpu_))
#define HANDLE_NEXT(Cpu_) (1 + CPUS + (Cpu_))
#define DATA (1 + 2 * CPUS)
#define WORDS (2 + 2 * CPUS)
#define DEPTH 4
#define TICKETS 4                       /* more than there are CPUs */
#include "tso.h"

byte Inside;                            /* CPUs that own the lock */
bit Truth;                              /* what the last owner stored in Data */
byte Arrived, Served;                   /* tickets, in the order of the exchanges */

/* KeAcquireInStackQueuedSpinLockAtDpcLevel */
inline Acquire() {
    STORE(HANDLE_LOCK(me), OWNER);
    STORE(HANDLE_NEXT(me), 0);
    XCHG_AND(Other, LOCK, me + 1, Ticket = Arrived; Arrived = (Arrived + 1) % TICKETS);
    if
    :: Other != 0 ->
#ifdef MUTATION_link_before_wait
       STORE(HANDLE_NEXT(Other - 1), me + 1);
       STORE(HANDLE_LOCK(me), WAIT);
#else
       STORE(HANDLE_LOCK(me), WAIT);
       STORE(HANDLE_NEXT(Other - 1), me + 1);
#endif
       (SEEN(HANDLE_LOCK(me)) & WAIT) == 0      /* .wait */
    :: else
    fi
}

inline Use() {
    d_step {
        assert(Ticket == Served);       /* the owner is the one that came first */
        Served = (Served + 1) % TICKETS;
        Ticket = 0;
        Inside++
    };
    assert(Inside == 1);                /* one owner at a time */
    LOAD(Seen, DATA);
    assert(Seen == Truth);              /* an owner sees what the owner before it has stored */
    Inside--
}

inline Store() {
    STORE_AND(DATA, 1 - Seen, Truth = 1 - Seen; Seen = 0)
}

/* KxReleaseQueuedSpinLock */
inline Release() {
    LOAD(Other, HANDLE_NEXT(me));
    if
    :: Other == 0 ->
#ifdef MUTATION_free_without_compare
       Won = (SEEN(LOCK) == me + 1);
       if
       :: Won -> STORE(LOCK, 0)
       :: else
       fi;
#else
       CMPXCHG(Won, LOCK, me + 1, 0);
#endif
       if
       :: Won -> STORE(HANDLE_LOCK(me), 0)
       :: else ->
#ifndef MUTATION_forget_the_late
          SEEN(HANDLE_NEXT(me)) != 0;           /* .late */
#endif
          LOAD(Other, HANDLE_NEXT(me))
       fi
    :: else
    fi;
    if
    :: Other != 0 ->
#ifdef MUTATION_pass_to_tail
       LOAD(Other, LOCK);
#endif
       STORE(HANDLE_LOCK(me), 0);
       LOAD(Flags, HANDLE_LOCK(Other - 1));     /* xor without LOCK: a load... */
       STORE(HANDLE_LOCK(Other - 1), Flags ^ (WAIT | OWNER))    /* ...and a store */
    :: else
    fi;
    Other = 0; Flags = 0; Won = false   /* tidy */
}

active [CPUS] proctype Cpu() {
    byte Other, Flags, Ticket;
    bit Seen;
    bool Won;
    do
    :: Acquire();
       Use();
#ifdef MUTATION_pass_before_store
       Release();
       Store()
#else
       Store();
       Release()
#endif
    :: break
    od
}

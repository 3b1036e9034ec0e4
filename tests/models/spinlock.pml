/* spinlock.pml: the spin lock of arch/x86_64/spinlock.asm, with a DPC that wants the same lock on each CPU.
 *
 * Each CPU acquires (by KeAcquireSpinLockRaiseToDpc, or by a try), changes what the lock guards, and releases, as often as it
 * likes. Between any two instructions below DISPATCH_LEVEL a DPC may come in, which does the same.
 *
 * words: Lock, Data
 * mutation test_then_set: the exchange is a load and a store
 * mutation lock_before_level: the lock is taken first, and then CR8 := DISPATCH_LEVEL
 * mutation level_before_release: CR8 is lowered first, and then the lock is released
 * mutation release_before_store: the lock is released before the last store that it guards
 * mutation store_passes_store: a machine whose stores do not keep their order */
#define LOCK 0
#define DATA 1
#define WORDS 2
#define DEPTH 2
#include "tso.h"

byte Inside;                            /* CPUs that own the lock */
bit Truth;                              /* what the last owner stored in Data */

/* KeAcquireSpinLockAtDpcLevel */
inline Acquire() {
    do
#ifdef MUTATION_test_then_set
    :: LOAD(Old, LOCK);
       STORE(LOCK, 1);
#else
    :: XCHG(Old, LOCK, 1);
#endif
       if
       :: Old == 0 -> break
       :: else
       fi;
       SEEN(LOCK) == 0                  /* .wait */
    od
}

/* KeTryToAcquireSpinLockAtDpcLevel: Old is 0 when it is held now */
inline Try() {
    if
    :: SEEN(LOCK) != 0 -> Old = 1
    :: else -> XCHG(Old, LOCK, 1)
    fi
}

inline Use() {
    Inside++;
    assert(Inside == 1);                /* one owner at a time */
    LOAD(Seen, DATA);
    assert(Seen == Truth);              /* an owner sees what the owner before it has stored */
    Inside--
}

/* The last store under the lock, and KeReleaseSpinLockFromDpcLevel. */
inline StoreAndRelease() {
#ifdef MUTATION_release_before_store
    STORE(LOCK, 0);
    STORE_AND(DATA, 1 - Seen, Truth = 1 - Seen);
#else
    STORE_AND(DATA, 1 - Seen, Truth = 1 - Seen);
    STORE(LOCK, 0);
#endif
    Seen = 0                            /* tidy */
}

/* A DPC, if the level lets it in: a call on top of the thread, at DISPATCH_LEVEL. */
inline MaybeDpc() {
    if
    :: !IsDispatch ->
       Acquire();
       Use();
       StoreAndRelease()
    :: true
    fi
}

active [CPUS] proctype Cpu() {
    bit Old, Seen;
    bool IsDispatch;                    /* CR8 */
    do
    :: MaybeDpc();
#ifdef MUTATION_lock_before_level
       Acquire();
       MaybeDpc();
       IsDispatch = true;
#else
       IsDispatch = true;
       Acquire();
#endif
       Use();
#ifdef MUTATION_level_before_release
       IsDispatch = false;
       MaybeDpc();
#endif
       StoreAndRelease();
       IsDispatch = false
    :: IsDispatch = true;
       Try();
       if
       :: Old == 0 ->
          Use();
          StoreAndRelease()
       :: else -> Old = 0               /* tidy */
       fi;
       IsDispatch = false
    :: break
    od
}

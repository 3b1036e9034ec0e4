/* spinlock.h: the kernel's own spin locks: ranks, declarations, and the checked build's bookkeeping. */
#ifndef _SPINLOCK_H_
#define _SPINLOCK_H_

#include <prcb.h>

/* ---- Lock ranks (checked build): each kernel spin lock is declared with its rank, and ranks only grow while held ---- */
enum {
    RANK_NONE = 0,
    RANK_IO = 20,
    RANK_BLOCK = 25,
    RANK_PFN = 40,
    RANK_POOL = 50,
    RANK_OBJECT = 60,
    RANK_RESOURCE = 62,
    RANK_LOADER = 65,
    RANK_DISPATCHER = 70,
    RANK_PRINT = 90
};
typedef struct _KLOCK_DECLARATION {
    PKSPIN_LOCK Lock;
    PCSTR Name;
    PCSTR Guards;
    ULONG Rank;
} KLOCK_DECLARATION;
/* KE_DECLARE_LOCK(KiDispatcherLock, RANK_DISPATCHER, "thread states, wait lists, ready queues"); defines the lock. */
#define KE_DECLARE_LOCK(Name_, Rank_, Guards_)        \
    KSPIN_LOCK Name_;                                 \
    static const KLOCK_DECLARATION Name_##Declaration \
        __attribute__((used, section(".lockdecl"), aligned(8))) = {&Name_, #Name_, Guards_, Rank_}
extern const KLOCK_DECLARATION KiLockDeclarations[], KiLockDeclarationsEnd[]; /* kernel.ld */

/* ---- Lock bookkeeping of the checked build (ke/lockcheck.c); ke/checkedlock.c calls the first three ---- */
VOID KiLockAcquired(PKSPIN_LOCK Lock, PVOID Caller);  /* IRQL >= DISPATCH_LEVEL, the lock is held */
VOID KiLockReleasing(PKSPIN_LOCK Lock, PVOID Caller); /* still held; 0x10 when this CPU does not hold it */
VOID KiLockContended(PKSPIN_LOCK Lock, PVOID Caller); /* about to wait: 0x0F when this CPU itself holds it */
/* The CPU that holds a lock, its entry for it, and the lock's declaration. Any IRQL, no locks: a snapshot. */
const KHELD_LOCK *KeFindLockHolder(PKSPIN_LOCK Lock, ULONG *Processor);
const KLOCK_DECLARATION *KeFindLockDeclaration(PKSPIN_LOCK Lock); /* NULL: no lock of the kernel's own */
/* Textbook lock (spinlock.asm): a byte, a bare xchg loop, no IRQL. For the walk, GDB and a test. */
VOID KiAcquireTextbookLock(volatile UCHAR *Lock);
VOID KiReleaseTextbookLock(volatile UCHAR *Lock);

extern KSPIN_LOCK KiDispatcherLock;

#endif

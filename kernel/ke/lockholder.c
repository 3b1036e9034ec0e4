/* lockholder.c: a spin lock's holder and its declaration, for reports and for the debugger.
 *
 * The lists of held locks are the checked build's (lockcheck.c); in the free build they are empty. */
#include <ke.h>

const KLOCK_DECLARATION *KeFindLockDeclaration(PKSPIN_LOCK Lock) {
    for (const KLOCK_DECLARATION *Row = KiLockDeclarations; Row < KiLockDeclarationsEnd; Row++) {
        if (Row->Lock == Lock) {
            return Row;
        }
    }
    return NULL;
}

const KHELD_LOCK *KeFindLockHolder(PKSPIN_LOCK Lock, ULONG *Processor) {
    for (ULONG Number = 0; Number < KeNumberProcessors; Number++) {
        PKPRCB Prcb = KiProcessorBlock[Number];
        for (ULONG i = 0; i < Prcb->HeldLockCount && i < MAXIMUM_HELD_LOCKS; i++) {
            if (Prcb->HeldLock[i].Lock == Lock) {
                *Processor = Number;
                return &Prcb->HeldLock[i];
            }
        }
    }
    return NULL;
}

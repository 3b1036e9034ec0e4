/* interruptlock.c: an interrupt's spin lock for code outside its routine (KeSynchronizeExecution). */
#include "iop.h"

/* <= the interrupt's SynchronizeIrql in, that level out; returns the old one. The service routine cannot run, here because
 * of the level, elsewhere because of the lock. wdm.h: KeAcquireInterruptSpinLock. */
KIRQL KeAcquireInterruptSpinLock(PKINTERRUPT Interrupt) {
    KIRQL OldIrql = KfRaiseIrql(Interrupt->SynchronizeIrql);
    KeAcquireSpinLockAtDpcLevel(&Interrupt->SpinLock);
    return OldIrql;
}

VOID KeReleaseInterruptSpinLock(PKINTERRUPT Interrupt, KIRQL OldIrql) {
    KeReleaseSpinLockFromDpcLevel(&Interrupt->SpinLock);
    KeLowerIrql(OldIrql);
}

/* interruptlock.c: an interrupt's spin lock for code outside its routine (KeSynchronizeExecution). */
#include "iop.h"

/* <= the interrupt's SynchronizeIrql in, that level out; returns the old one. The service routine is kept off this CPU
 * by the level, off the others by the lock. wdm.h: KeAcquireInterruptSpinLock. */
KIRQL KeAcquireInterruptSpinLock(PKINTERRUPT Interrupt) {
    KIRQL OldIrql = KfRaiseIrql(Interrupt->SynchronizeIrql);
    KeAcquireSpinLockAtDpcLevel(&Interrupt->SpinLock);
    return OldIrql;
}

VOID KeReleaseInterruptSpinLock(PKINTERRUPT Interrupt, KIRQL OldIrql) {
    KeReleaseSpinLockFromDpcLevel(&Interrupt->SpinLock);
    KeLowerIrql(OldIrql);
}

/* Runs SynchronizeRoutine as if it were the service routine, and returns its result. <= SynchronizeIrql.
 * wdm.h: KeSynchronizeExecution. */
BOOLEAN KeSynchronizeExecution(PKINTERRUPT Interrupt, PKSYNCHRONIZE_ROUTINE SynchronizeRoutine,
                               PVOID SynchronizeContext) {
    KIRQL OldIrql = KfRaiseIrql(Interrupt->SynchronizeIrql);
    KeAcquireSpinLockAtDpcLevel(&Interrupt->SpinLock);
    BOOLEAN Result = SynchronizeRoutine(SynchronizeContext);
    KeReleaseSpinLockFromDpcLevel(&Interrupt->SpinLock);
    KeLowerIrql(OldIrql);
    return Result;
}

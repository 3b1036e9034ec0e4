/* semaphore.c: the semaphore: a count of permits; a wait takes one, a release brings some back. */
#include "ki.h"
#include <ex.h>

/* Any IRQL; the semaphore lies in resident memory. */
VOID KeInitializeSemaphore(PRKSEMAPHORE Semaphore, LONG Count, LONG Limit) {
    NT_ASSERT(Count >= 0 && Limit > 0 && Count <= Limit);
    Semaphore->Header =
        (DISPATCHER_HEADER){.Type = SemaphoreObject, .Size = sizeof(KSEMAPHORE) / sizeof(ULONG), .SignalState = Count};
    InitializeListHead(&Semaphore->Header.WaitListHead);
    Semaphore->Limit = Limit;
}

/* Adds Adjustment permits and returns the previous count. <= DISPATCH_LEVEL; with Wait = TRUE <= APC_LEVEL, and a
 * KeWait... call must follow. Raises STATUS_SEMAPHORE_LIMIT_EXCEEDED above the limit, or if Adjustment is not
 * positive. wdm.h: KeReleaseSemaphore. */
LONG KeReleaseSemaphore(PRKSEMAPHORE Semaphore, KPRIORITY Increment, LONG Adjustment, BOOLEAN Wait) {
    KIRQL OldIrql = KiLockDispatcher();
    LONG Previous = Semaphore->Header.SignalState;
    if (Adjustment <= 0 || Adjustment > Semaphore->Limit - Previous) {
        KiUnlockDispatcher(OldIrql);
        ExRaiseStatus(STATUS_SEMAPHORE_LIMIT_EXCEEDED);
    }
    Semaphore->Header.SignalState = Previous + Adjustment;
    KiSignalWaiters(&Semaphore->Header, Increment);
    KiLeaveSignal(OldIrql, Wait);
    return Previous;
}

/* Any IRQL; a snapshot. */
LONG KeReadStateSemaphore(PRKSEMAPHORE Semaphore) {
    return Semaphore->Header.SignalState;
}

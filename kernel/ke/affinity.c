/* affinity.c: binding a thread to some CPUs for a while, and back. */
#include "ki.h"

/* The current thread's new set of CPUs. It moves before this returns; at DISPATCH_LEVEL as soon as the level drops. */
static VOID SetAffinity(PKTHREAD Thread, KAFFINITY Affinity, KIRQL OldIrql) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    Thread->Affinity = Affinity;
    if (Affinity & (KAFFINITY)1 << Prcb->Number) {
        return;
    }
    if (OldIrql < DISPATCH_LEVEL) {
        KiEndTurn();
    } else {
        Prcb->QuantumEnd = TRUE;
        HalRequestSoftwareInterrupt(DISPATCH_LEVEL);
    }
}

/* <= DISPATCH_LEVEL. Returns the previous system affinity, 0 if there was none; a mask without an active CPU changes
 * nothing. wdm.h: KeSetSystemAffinityThreadEx. */
KAFFINITY KeSetSystemAffinityThreadEx(KAFFINITY Affinity) {
    PKTHREAD Thread = KiCurrentThread();
    KIRQL OldIrql = KiLockDispatcher();
    KAFFINITY Previous = Thread->IsSystemAffinity ? Thread->Affinity : 0;
    Affinity &= KeActiveProcessors;
    if (Affinity != 0) {
        Thread->IsSystemAffinity = TRUE;
        SetAffinity(Thread, Affinity, OldIrql);
    }
    KeReleaseSpinLock(&KiDispatcherLock, OldIrql);
    return Previous;
}

VOID KeSetSystemAffinityThread(KAFFINITY Affinity) {
    KeSetSystemAffinityThreadEx(Affinity);
}

/* <= DISPATCH_LEVEL. Affinity comes from KeSetSystemAffinityThreadEx: 0 goes back to the thread's own set.
 * wdm.h: KeRevertToUserAffinityThreadEx. */
VOID KeRevertToUserAffinityThreadEx(KAFFINITY Affinity) {
    PKTHREAD Thread = KiCurrentThread();
    KIRQL OldIrql = KiLockDispatcher();
    Thread->IsSystemAffinity = Affinity != 0;
    SetAffinity(Thread, Affinity ? Affinity : Thread->UserAffinity, OldIrql);
    KeReleaseSpinLock(&KiDispatcherLock, OldIrql);
}

VOID KeRevertToUserAffinityThread(VOID) {
    KeRevertToUserAffinityThreadEx(0);
}

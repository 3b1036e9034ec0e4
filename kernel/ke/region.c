/* region.c: critical and guarded regions: counts in the thread that hold off APCs.
 *
 * A critical region keeps normal kernel APCs out, a guarded region special ones too. Entering counts down from 0,
 * leaving counts up; leaving without having entered makes the count positive, which is found when the thread ends
 * (0x20). */
#include "ki.h"

/* <= APC_LEVEL. wdm.h: KeEnterCriticalRegion. */
VOID KeEnterCriticalRegion(VOID) {
    KiCurrentThread()->KernelApcDisable--;
}

VOID KeLeaveCriticalRegion(VOID) {
    PKTHREAD Thread = KiCurrentThread();
    if (++Thread->KernelApcDisable == 0) {
        KiCatchUpApcs(Thread);
    }
}

/* <= APC_LEVEL. wdm.h: KeEnterGuardedRegion. */
VOID KeEnterGuardedRegion(VOID) {
    KiCurrentThread()->SpecialApcDisable--;
}

VOID KeLeaveGuardedRegion(VOID) {
    PKTHREAD Thread = KiCurrentThread();
    if (++Thread->SpecialApcDisable == 0) {
        KiCatchUpApcs(Thread);
    }
}

/* Normal kernel APCs cannot come. <= DISPATCH_LEVEL. */
BOOLEAN KeAreApcsDisabled(VOID) {
    return KiCurrentThread()->CombinedApcDisable != 0;
}

/* No APC can come. Any IRQL. */
BOOLEAN KeAreAllApcsDisabled(VOID) {
    return KiCurrentThread()->SpecialApcDisable != 0 || KiCurrentIrql() >= APC_LEVEL;
}

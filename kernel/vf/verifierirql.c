/* verifierirql.c: forced IRQL checking: pageable memory unmapped before IRQL rises, illegal levels refused.
 *
 * After the trim every pageable PTE is in transition: the data are still in memory, no disk would be needed, but the
 * present bit is clear. A driver that keeps the rules does not notice; one that touches pageable memory at DISPATCH_LEVEL
 * faults every time, not only when memory happens to be short. */
#include "vf.h"

/* IRQL of the driver. A driver that is at DISPATCH_LEVEL already has been trimmed on its way up. */
VOID VfTrimBeforeRaise(KIRQL NewIrql) {
    if (VfHas(VF_IRQL) && NewIrql >= DISPATCH_LEVEL && KiCurrentIrql() < DISPATCH_LEVEL) {
        MmTrimAllPageable();
        InterlockedIncrement(&VfStatistics.Trims);
    }
}

BOOLEAN VfAreApcsDisabled(VOID) {
    return KiCurrentIrql() == APC_LEVEL || KiCurrentThread()->CombinedApcDisable != 0;
}

/* 0xC4 (0x30, current IRQL, requested IRQL, 0) for a raise that goes down, or above HIGH_LEVEL. */
static KIRQL VerifierRaiseIrql(KIRQL NewIrql) {
    KIRQL OldIrql = KiCurrentIrql();
    InterlockedIncrement(&VfStatistics.RaiseIrqls);
    if (NewIrql < OldIrql || NewIrql > HIGH_LEVEL) {
        VF_STOP(0x30, OldIrql, NewIrql, 0);
    }
    VfTrimBeforeRaise(NewIrql);
    return KfRaiseIrql(NewIrql);
}

static KIRQL VerifierRaiseIrqlToDpcLevel(VOID) {
    return VerifierRaiseIrql(DISPATCH_LEVEL);
}

static KIRQL VerifierRaiseIrqlToSynchLevel(VOID) {
    return VerifierRaiseIrql(SYNCH_LEVEL);
}

/* 0xC4 (0x31, current IRQL, requested IRQL, 0) for a lowering that goes up; with 1 at the end inside a DPC, which may
 * not go below DISPATCH_LEVEL. */
static VOID VerifierLowerIrql(KIRQL NewIrql) {
    KIRQL OldIrql = KiCurrentIrql();
    if (NewIrql > OldIrql) {
        VF_STOP(0x31, OldIrql, NewIrql, 0);
    }
    if (NewIrql < DISPATCH_LEVEL && OldIrql >= DISPATCH_LEVEL && KeGetCurrentPrcb()->DpcRoutineActive) {
        VF_STOP(0x31, OldIrql, NewIrql, 1);
    }
    KeLowerIrql(NewIrql);
}

static BOOLEAN VerifierSynchronizeExecution(PKINTERRUPT Interrupt, PKSYNCHRONIZE_ROUTINE Routine, PVOID Context) {
    InterlockedIncrement(&VfStatistics.SynchExecutions);
    VfTrimBeforeRaise(HIGH_LEVEL);
    return KeSynchronizeExecution(Interrupt, Routine, Context);
}

const VF_THUNK VfIrqlThunks[] = {
    {"KfRaiseIrql", VerifierRaiseIrql},
    {"KeRaiseIrqlToDpcLevel", VerifierRaiseIrqlToDpcLevel},
    {"KeRaiseIrqlToSynchLevel", VerifierRaiseIrqlToSynchLevel},
    {"KeLowerIrql", VerifierLowerIrql},
    {"KeSynchronizeExecution", VerifierSynchronizeExecution},
    {NULL, NULL},
};

/* verifier.c: a verified driver's imports lead through thunks that trim all pageable memory before IRQL reaches 2.
 *
 * After the trim every pageable PTE is in transition: the data are still in memory, no disk would be needed, but the
 * present bit is clear. A driver that keeps the rules does not notice; one that touches pageable memory at DISPATCH_LEVEL
 * faults every time, not only when memory happens to be short. Only calls through imports are seen, as on Windows. */
#include <kd.h>
#include <mm.h>
#include <rtl.h>
#include <verifier.h>

VF_STATISTICS VfStatistics;
static CHAR VerifiedDriver[32];
static BOOLEAN IsEveryDriver;

VOID VfEnable(PCSTR Driver) {
    if (Driver == NULL) {
        IsEveryDriver = TRUE;
        return;
    }
    RtlFormat(VerifiedDriver, sizeof(VerifiedDriver), "%s", Driver);
}

BOOLEAN VfIsVerified(PCSTR Driver) {
    return IsEveryDriver || KeGetBootOption("verifier", NULL, 0) || strcmp(VerifiedDriver, Driver) == 0;
}

/* IRQL <= DISPATCH_LEVEL. A driver that is there already has been trimmed on its way up. */
static VOID TrimBeforeRaise(KIRQL NewIrql) {
    if (NewIrql >= DISPATCH_LEVEL && KiCurrentIrql() < DISPATCH_LEVEL) {
        MmTrimAllPageable();
        InterlockedIncrement(&VfStatistics.Trims);
    }
}

static KIRQL VerifierAcquireSpinLockRaiseToDpc(PKSPIN_LOCK SpinLock) {
    InterlockedIncrement(&VfStatistics.AcquireSpinLocks);
    TrimBeforeRaise(DISPATCH_LEVEL);
    return KeAcquireSpinLockRaiseToDpc(SpinLock);
}

static VOID VerifierAcquireInStackQueuedSpinLock(PKSPIN_LOCK SpinLock, PKLOCK_QUEUE_HANDLE LockHandle) {
    InterlockedIncrement(&VfStatistics.AcquireSpinLocks);
    TrimBeforeRaise(DISPATCH_LEVEL);
    KeAcquireInStackQueuedSpinLock(SpinLock, LockHandle);
}

static KIRQL VerifierRaiseIrql(KIRQL NewIrql) {
    InterlockedIncrement(&VfStatistics.RaiseIrqls);
    TrimBeforeRaise(NewIrql);
    return KfRaiseIrql(NewIrql);
}

static KIRQL VerifierRaiseIrqlToDpcLevel(VOID) {
    return VerifierRaiseIrql(DISPATCH_LEVEL);
}

static BOOLEAN VerifierSynchronizeExecution(PKINTERRUPT Interrupt, PKSYNCHRONIZE_ROUTINE Routine, PVOID Context) {
    TrimBeforeRaise(HIGH_LEVEL);
    return KeSynchronizeExecution(Interrupt, Routine, Context);
}

static const struct {
    PCSTR Import;
    const void *Thunk;
} Thunks[] = {
    {"KeAcquireSpinLockRaiseToDpc", VerifierAcquireSpinLockRaiseToDpc},
    {"KeAcquireInStackQueuedSpinLock", VerifierAcquireInStackQueuedSpinLock},
    {"KfRaiseIrql", VerifierRaiseIrql},
    {"KeRaiseIrqlToDpcLevel", VerifierRaiseIrqlToDpcLevel},
    {"KeSynchronizeExecution", VerifierSynchronizeExecution},
};

const void *VfFindThunk(PCSTR Import) {
    for (ULONG i = 0; i < RTL_NUMBER_OF(Thunks); i++) {
        if (strcmp(Thunks[i].Import, Import) == 0) {
            return Thunks[i].Thunk;
        }
    }
    return NULL;
}

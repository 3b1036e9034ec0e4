/* verifierresource.c: thunks of ERESOURCEs and push locks: both want normal kernel APCs disabled by their caller. */
#include "vf.h"
#include "deadlock.h"

#pragma weak ExInitializeResourceLite
#pragma weak ExDeleteResourceLite
#pragma weak ExAcquireResourceExclusiveLite
#pragma weak ExAcquireResourceSharedLite
#pragma weak ExAcquireSharedStarveExclusive
#pragma weak ExAcquireSharedWaitForExclusive
#pragma weak ExTryToAcquireResourceExclusiveLite
#pragma weak ExReleaseResourceLite
#pragma weak ExReleaseResourceForThreadLite
#pragma weak ExConvertExclusiveToSharedLite
#pragma weak ExEnterCriticalRegionAndAcquireResourceExclusive
#pragma weak ExEnterCriticalRegionAndAcquireResourceShared
#pragma weak ExEnterCriticalRegionAndAcquireSharedWaitForExclusive
#pragma weak ExReleaseResourceAndLeaveCriticalRegion
#pragma weak ExInitializePushLock
#pragma weak ExAcquirePushLockExclusiveEx
#pragma weak ExAcquirePushLockSharedEx
#pragma weak ExTryAcquirePushLockExclusiveEx
#pragma weak ExTryAcquirePushLockSharedEx
#pragma weak ExReleasePushLockExclusiveEx
#pragma weak ExReleasePushLockSharedEx
#pragma weak ExReleasePushLockEx

#define OWNER_POINTER_BITS 3 /* set in an owner that is no thread */

/* 0xC4 (Rule, IRQL, APC-disable count, lock) where a normal kernel APC could come. */
static VOID CheckApcs(ULONG Rule, PVOID Lock) {
    if (VfHas(VF_IRQL) && KiCurrentIrql() < DISPATCH_LEVEL && !VfAreApcsDisabled()) {
        VF_STOP(Rule, KiCurrentIrql(), KiCurrentThread()->CombinedApcDisable, Lock);
    }
}

/* ---- ERESOURCE ---- */

/* 0xC4 (0xD0, resource, 0, 0) for one that lives. */
static NTSTATUS VerifierInitializeResourceLite(PERESOURCE Resource) {
    VfCheckResident(Resource);
    if (!VfRegisterObject(Resource, VfResource) && VfHas(VF_MISC)) {
        VF_STOP(0xD0, Resource, 0, 0);
    }
    VfLockInitialized(Resource, VfEresource);
    return ExInitializeResourceLite(Resource);
}

/* 0xC4 (0xD1, resource, 0, 0) for one that was never made. */
static NTSTATUS VerifierDeleteResourceLite(PERESOURCE Resource) {
    if (!VfUnregisterObject(Resource, VfResource) && VfHas(VF_MISC) && Resource->SystemResourcesList.Flink == NULL) {
        VF_STOP(0xD1, Resource, 0, 0);
    }
    VfLockDeleted(Resource);
    return ExDeleteResourceLite(Resource);
}

static VOID BeforeAcquire(PERESOURCE Resource, VF_LOCK_MODE Mode, BOOLEAN Wait) {
    if (VfHas(VF_IRQL) && KiCurrentIrql() > APC_LEVEL) {
        VF_STOP(0x37, KiCurrentIrql(), KiCurrentThread()->CombinedApcDisable, Resource);
    }
    CheckApcs(0x37, Resource);
    VfCheckResident(Resource);
    if (Wait) {
        VfLockWanted(Resource, VfEresource, Mode);
    }
}

static BOOLEAN AfterAcquire(PERESOURCE Resource, VF_LOCK_MODE Mode, BOOLEAN IsTaken) {
    if (IsTaken) {
        VfLockAcquired(Resource, VfEresource, Mode);
    }
    return IsTaken;
}

static BOOLEAN VerifierAcquireResourceExclusiveLite(PERESOURCE Resource, BOOLEAN Wait) {
    BeforeAcquire(Resource, VfExclusive, Wait);
    return AfterAcquire(Resource, VfExclusive, ExAcquireResourceExclusiveLite(Resource, Wait));
}

static BOOLEAN VerifierTryToAcquireResourceExclusiveLite(PERESOURCE Resource) {
    BeforeAcquire(Resource, VfExclusive, FALSE);
    return AfterAcquire(Resource, VfExclusive, ExTryToAcquireResourceExclusiveLite(Resource));
}

static BOOLEAN VerifierAcquireResourceSharedLite(PERESOURCE Resource, BOOLEAN Wait) {
    BeforeAcquire(Resource, VfShared, Wait);
    return AfterAcquire(Resource, VfShared, ExAcquireResourceSharedLite(Resource, Wait));
}

static BOOLEAN VerifierAcquireSharedStarveExclusive(PERESOURCE Resource, BOOLEAN Wait) {
    BeforeAcquire(Resource, VfShared, Wait);
    return AfterAcquire(Resource, VfShared, ExAcquireSharedStarveExclusive(Resource, Wait));
}

static BOOLEAN VerifierAcquireSharedWaitForExclusive(PERESOURCE Resource, BOOLEAN Wait) {
    BeforeAcquire(Resource, VfShared, Wait);
    return AfterAcquire(Resource, VfShared, ExAcquireSharedWaitForExclusive(Resource, Wait));
}

static PVOID VerifierEnterRegionAndAcquireExclusive(PERESOURCE Resource) {
    VfCheckResident(Resource);
    VfLockWanted(Resource, VfEresource, VfExclusive);
    PVOID Result = ExEnterCriticalRegionAndAcquireResourceExclusive(Resource);
    VfLockAcquired(Resource, VfEresource, VfExclusive);
    return Result;
}

static PVOID VerifierEnterRegionAndAcquireShared(PERESOURCE Resource) {
    VfCheckResident(Resource);
    VfLockWanted(Resource, VfEresource, VfShared);
    PVOID Result = ExEnterCriticalRegionAndAcquireResourceShared(Resource);
    VfLockAcquired(Resource, VfEresource, VfShared);
    return Result;
}

static PVOID VerifierEnterRegionAndAcquireSharedWait(PERESOURCE Resource) {
    VfCheckResident(Resource);
    VfLockWanted(Resource, VfEresource, VfShared);
    PVOID Result = ExEnterCriticalRegionAndAcquireSharedWaitForExclusive(Resource);
    VfLockAcquired(Resource, VfEresource, VfShared);
    return Result;
}

static VOID VerifierReleaseResourceLite(PERESOURCE Resource) {
    CheckApcs(0x38, Resource);
    VfLockReleased(Resource, VfEresource);
    ExReleaseResourceLite(Resource);
}

static VOID VerifierReleaseResourceAndLeaveCriticalRegion(PERESOURCE Resource) {
    CheckApcs(0x38, Resource);
    VfLockReleased(Resource, VfEresource);
    ExReleaseResourceAndLeaveCriticalRegion(Resource);
}

/* For another thread, or for an owner that is a pointer of the driver's, which must not be taken for a thread. */
static VOID VerifierReleaseResourceForThreadLite(PERESOURCE Resource, ERESOURCE_THREAD Owner) {
    CheckApcs(0x38, Resource);
    if (VfHas(VF_DEADLOCK)) {
        VfLockReleasedFor(Resource, VfEresource, Owner & OWNER_POINTER_BITS ? Owner | 1 : Owner);
    }
    ExReleaseResourceForThreadLite(Resource, Owner);
}

static VOID VerifierConvertExclusiveToSharedLite(PERESOURCE Resource) {
    VfLockConverted(Resource);
    ExConvertExclusiveToSharedLite(Resource);
}

/* ---- Push locks ---- */

static VOID VerifierInitializePushLock(PEX_PUSH_LOCK PushLock) {
    VfLockInitialized(PushLock, VfPushLock);
    ExInitializePushLock(PushLock);
}

/* 0xC4 (0xEA, IRQL, APC-disable count, push lock). */
static VOID BeforePushLock(PEX_PUSH_LOCK PushLock, VF_LOCK_MODE Mode, BOOLEAN MayWait) {
    CheckApcs(0xEA, PushLock);
    if (MayWait) {
        VfLockWanted(PushLock, VfPushLock, Mode);
    }
}

static VOID VerifierAcquirePushLockExclusiveEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
    BeforePushLock(PushLock, VfExclusive, TRUE);
    ExAcquirePushLockExclusiveEx(PushLock, Flags);
    VfLockAcquired(PushLock, VfPushLock, VfExclusive);
}

static VOID VerifierAcquirePushLockSharedEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
    BeforePushLock(PushLock, VfShared, TRUE);
    ExAcquirePushLockSharedEx(PushLock, Flags);
    VfLockAcquired(PushLock, VfPushLock, VfShared);
}

static BOOLEAN VerifierTryAcquirePushLockExclusiveEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
    BeforePushLock(PushLock, VfExclusive, FALSE);
    BOOLEAN IsTaken = ExTryAcquirePushLockExclusiveEx(PushLock, Flags);
    if (IsTaken) {
        VfLockAcquired(PushLock, VfPushLock, VfExclusive);
    }
    return IsTaken;
}

static BOOLEAN VerifierTryAcquirePushLockSharedEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
    BeforePushLock(PushLock, VfShared, FALSE);
    BOOLEAN IsTaken = ExTryAcquirePushLockSharedEx(PushLock, Flags);
    if (IsTaken) {
        VfLockAcquired(PushLock, VfPushLock, VfShared);
    }
    return IsTaken;
}

/* 0xC4 (0xEB, IRQL, APC-disable count, push lock). */
static VOID BeforePushLockRelease(PEX_PUSH_LOCK PushLock) {
    CheckApcs(0xEB, PushLock);
    VfLockReleased(PushLock, VfPushLock);
}

static VOID VerifierReleasePushLockExclusiveEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
    BeforePushLockRelease(PushLock);
    ExReleasePushLockExclusiveEx(PushLock, Flags);
}

static VOID VerifierReleasePushLockSharedEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
    BeforePushLockRelease(PushLock);
    ExReleasePushLockSharedEx(PushLock, Flags);
}

static VOID VerifierReleasePushLockEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
    BeforePushLockRelease(PushLock);
    ExReleasePushLockEx(PushLock, Flags);
}

const VF_THUNK VfResourceThunks[] = {
    {"ExInitializeResourceLite", VerifierInitializeResourceLite},
    {"ExDeleteResourceLite", VerifierDeleteResourceLite},
    {"ExAcquireResourceExclusiveLite", VerifierAcquireResourceExclusiveLite},
    {"ExTryToAcquireResourceExclusiveLite", VerifierTryToAcquireResourceExclusiveLite},
    {"ExAcquireResourceSharedLite", VerifierAcquireResourceSharedLite},
    {"ExAcquireSharedStarveExclusive", VerifierAcquireSharedStarveExclusive},
    {"ExAcquireSharedWaitForExclusive", VerifierAcquireSharedWaitForExclusive},
    {"ExEnterCriticalRegionAndAcquireResourceExclusive", VerifierEnterRegionAndAcquireExclusive},
    {"ExEnterCriticalRegionAndAcquireResourceShared", VerifierEnterRegionAndAcquireShared},
    {"ExEnterCriticalRegionAndAcquireSharedWaitForExclusive", VerifierEnterRegionAndAcquireSharedWait},
    {"ExReleaseResourceLite", VerifierReleaseResourceLite},
    {"ExReleaseResourceAndLeaveCriticalRegion", VerifierReleaseResourceAndLeaveCriticalRegion},
    {"ExReleaseResourceForThreadLite", VerifierReleaseResourceForThreadLite},
    {"ExConvertExclusiveToSharedLite", VerifierConvertExclusiveToSharedLite},
    {"ExInitializePushLock", VerifierInitializePushLock},
    {"ExAcquirePushLockExclusiveEx", VerifierAcquirePushLockExclusiveEx},
    {"ExAcquirePushLockSharedEx", VerifierAcquirePushLockSharedEx},
    {"ExTryAcquirePushLockExclusiveEx", VerifierTryAcquirePushLockExclusiveEx},
    {"ExTryAcquirePushLockSharedEx", VerifierTryAcquirePushLockSharedEx},
    {"ExReleasePushLockExclusiveEx", VerifierReleasePushLockExclusiveEx},
    {"ExReleasePushLockSharedEx", VerifierReleasePushLockSharedEx},
    {"ExReleasePushLockEx", VerifierReleasePushLockEx},
    {NULL, NULL},
};

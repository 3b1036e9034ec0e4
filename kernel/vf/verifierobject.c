/* verifierobject.c: objects and their memory: resident while in use, not freed while alive. */
#include "vf.h"

#define OBJECTS 512

typedef struct _VF_OBJECT {
    PVOID Address;
    VF_OBJECT_KIND Kind;
} VF_OBJECT;

KE_DECLARE_LOCK(VfObjectLock, RANK_POOL + 2, "timers and ERESOURCEs of verified drivers");

static VF_OBJECT Object[OBJECTS]; /* VfObjectLock; the first ObjectCount of them */
static ULONG ObjectCount;

/* ---- Where an object lies ---- */

/* Any IRQL, never faults. */
BOOLEAN VfIsPageableAddress(ULONG64 Va) {
    MM_REGION_KIND Kind = MmFindRegion(Va)->Kind;
    if (Kind == RegionPagedPool || Kind == RegionSpecialPagedPool) {
        return TRUE;
    }
    PKLDR_DATA_TABLE_ENTRY Module = Kind == RegionDriverImages ? LdrFindModule(Va) : NULL;
    const LDR_SECTION *Section = Module == NULL ? NULL : LdrFindSection(Module, Va);
    return Section != NULL && Section->IsPageable;
}

BOOLEAN VfIsOnStack(const void *Address) {
    PKTHREAD Thread = KiCurrentThread();
    return (ULONG64)Address >= Thread->StackLimit && (ULONG64)Address < Thread->StackBase;
}

VOID VfCheckResident(const void *Address) {
    if (VfHas(VF_IRQL) && VfIsPageableAddress((ULONG64)Address)) {
        VF_STOP(0xE1, Address, 0, 0);
    }
}

/* ---- Live objects ---- */

static ULONG FindObject(PVOID Address, VF_OBJECT_KIND Kind) {
    ULONG Index = 0;
    while (Index < ObjectCount && (Object[Index].Address != Address || Object[Index].Kind != Kind)) {
        Index++;
    }
    return Index;
}

/* An object that finds no room in the table is not watched. */
BOOLEAN VfRegisterObject(PVOID Address, VF_OBJECT_KIND Kind) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&VfObjectLock, &OldIrql);
    BOOLEAN IsNew = FindObject(Address, Kind) == ObjectCount;
    if (IsNew && ObjectCount < OBJECTS) {
        Object[ObjectCount++] = (VF_OBJECT){Address, Kind};
    }
    KeReleaseSpinLock(&VfObjectLock, OldIrql);
    return IsNew;
}

BOOLEAN VfUnregisterObject(PVOID Address, VF_OBJECT_KIND Kind) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&VfObjectLock, &OldIrql);
    ULONG Index = FindObject(Address, Kind);
    BOOLEAN IsFound = Index < ObjectCount;
    if (IsFound) {
        Object[Index] = Object[--ObjectCount];
    }
    KeReleaseSpinLock(&VfObjectLock, OldIrql);
    return IsFound;
}

/* Takes one object of the range out of the table; FALSE: there is none. */
static BOOLEAN TakeFromRange(ULONG64 Start, SIZE_T Bytes, VF_OBJECT *Taken) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&VfObjectLock, &OldIrql);
    ULONG Index = 0;
    while (Index < ObjectCount && (ULONG64)Object[Index].Address - Start >= Bytes) {
        Index++;
    }
    BOOLEAN IsFound = Index < ObjectCount;
    if (IsFound) {
        *Taken = Object[Index];
        Object[Index] = Object[--ObjectCount];
    }
    KeReleaseSpinLock(&VfObjectLock, OldIrql);
    return IsFound;
}

/* Memory goes. A timer that is set: 0xC4 (0x15, timer, 0, start) in pool, 0xC7 (0, timer, start, bytes) in an image; an
 * ERESOURCE that was not deleted: 0xC4 (0x17, resource, 0, start) in pool, (0xD2, resource, start, bytes) in an image. */
VOID VfCheckFreedRange(ULONG64 Start, SIZE_T Bytes, BOOLEAN IsPool) {
    VF_OBJECT Found;
    while (ObjectCount != 0 && TakeFromRange(Start, Bytes, &Found)) {
        BOOLEAN IsTimer = Found.Kind == VfTimer;
        if (!VfHas(VF_MISC) || (IsTimer && !((PKTIMER)Found.Address)->Header.Inserted)) {
            continue;
        }
        if (IsPool) {
            VF_STOP(IsTimer ? 0x15 : 0x17, Found.Address, 0, Start);
        }
        if (IsTimer) {
            KeBugCheckEx(TIMER_OR_DPC_INVALID, 0, (ULONG_PTR)Found.Address, Start, Bytes);
        }
        VF_STOP(0xD2, Found.Address, Start, Bytes);
    }
}

/* ---- Timers and work items ---- */

static VOID VerifierInitializeTimer(PKTIMER Timer) {
    VfCheckResident(Timer);
    KeInitializeTimer(Timer);
}

static VOID VerifierInitializeTimerEx(PKTIMER Timer, TIMER_TYPE Type) {
    VfCheckResident(Timer);
    KeInitializeTimerEx(Timer, Type);
}

static BOOLEAN VerifierSetTimerEx(PKTIMER Timer, LARGE_INTEGER DueTime, LONG PeriodMs, PKDPC Dpc) {
    VfCheckResident(Timer);
    VfRegisterObject(Timer, VfTimer);
    return KeSetTimerEx(Timer, DueTime, PeriodMs, Dpc);
}

static BOOLEAN VerifierSetTimer(PKTIMER Timer, LARGE_INTEGER DueTime, PKDPC Dpc) {
    VfCheckResident(Timer);
    VfRegisterObject(Timer, VfTimer);
    return KeSetTimer(Timer, DueTime, Dpc);
}

static BOOLEAN VerifierCancelTimer(PKTIMER Timer) {
    VfUnregisterObject(Timer, VfTimer);
    return KeCancelTimer(Timer);
}

/* 0xC4 (0x131, item, 0, 0) for one that may be paged out while it waits in its queue. */
static VOID VerifierQueueWorkItem(PWORK_QUEUE_ITEM WorkItem, WORK_QUEUE_TYPE QueueType) {
    if (VfHas(VF_IRQL) && VfIsPageableAddress((ULONG64)WorkItem)) {
        VF_STOP(0x131, WorkItem, 0, 0);
    }
    ExQueueWorkItem(WorkItem, QueueType);
}

const VF_THUNK VfObjectThunks[] = {
    {"KeInitializeTimer", VerifierInitializeTimer},
    {"KeInitializeTimerEx", VerifierInitializeTimerEx},
    {"KeSetTimer", VerifierSetTimer},
    {"KeSetTimerEx", VerifierSetTimerEx},
    {"KeCancelTimer", VerifierCancelTimer},
    {"ExQueueWorkItem", VerifierQueueWorkItem},
    {NULL, NULL},
};

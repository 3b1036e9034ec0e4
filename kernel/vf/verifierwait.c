/* verifierwait.c: thunks of events, waits and mutexes: legal levels, and mutexes that a wait acquires. */
#include "vf.h"

static BOOLEAN IsMutex(const void *Object) {
    return ((const DISPATCHER_HEADER *)Object)->Type == MutantObject;
}

/* ---- Making objects ---- */

static VOID VerifierInitializeEvent(PRKEVENT Event, EVENT_TYPE Type, BOOLEAN State) {
    VfCheckResident(Event);
    KeInitializeEvent(Event, Type, State);
}

static VOID VerifierInitializeSemaphore(PRKSEMAPHORE Semaphore, LONG Count, LONG Limit) {
    VfCheckResident(Semaphore);
    KeInitializeSemaphore(Semaphore, Count, Limit);
}

static VOID VerifierInitializeMutex(PRKMUTEX Mutex, ULONG Level) {
    VfCheckResident(Mutex);
    VfLockInitialized(Mutex, VfMutex);
    KeInitializeMutex(Mutex, Level);
}

/* ---- Waiting ---- */

/* The level that the wait belongs to: DISPATCH_LEVEL after KeSetEvent(..., TRUE) and its like is the kernel's, which goes
 * back to the level before when the wait begins. */
static KIRQL WaitIrql(VOID) {
    PKTHREAD Thread = KiCurrentThread();
    return Thread->WaitNext ? Thread->WaitIrql : KiCurrentIrql();
}

/* 0xC4 (0x120, 0x121 or 0x122, address of the IRQL, of the object, of the time-out); (0x123, object) for a wait that
 * a user may interrupt, so that the stack goes out, with the object on that stack; (0xE1, object). P3 points to
 * Objects. */
static VOID CheckWait(const PVOID *Object, ULONG Count, KPROCESSOR_MODE Mode, const LARGE_INTEGER *Timeout) {
    KIRQL Irql = WaitIrql();
    if (!VfHas(VF_IRQL)) {
        return;
    }
    if (Irql > DISPATCH_LEVEL) {
        VF_STOP(0x120, &Irql, Object, Timeout);
    }
    if (Irql == DISPATCH_LEVEL && (Timeout == NULL || Timeout->QuadPart != 0)) {
        VF_STOP(Timeout == NULL ? 0x121 : 0x122, &Irql, Object, Timeout);
    }
    for (ULONG i = 0; i < Count; i++) {
        VfCheckResident(Object[i]);
        if (Mode == UserMode && VfIsOnStack(Object[i])) {
            VF_STOP(0x123, Object[i], 0, 0);
        }
    }
}

/* A wait with a time-out gives up by itself: it is no part of a deadlock. */
static VOID WantMutex(PVOID Object, const LARGE_INTEGER *Timeout) {
    if (IsMutex(Object) && Timeout == NULL) {
        VfLockWanted(Object, VfMutex, VfExclusive);
    }
}

static NTSTATUS VerifierWaitForSingleObject(PVOID Object, KWAIT_REASON Reason, KPROCESSOR_MODE Mode, BOOLEAN Alertable,
                                            PLARGE_INTEGER Timeout) {
    CheckWait(&Object, 1, Mode, Timeout);
    WantMutex(Object, Timeout);
    NTSTATUS Status = KeWaitForSingleObject(Object, Reason, Mode, Alertable, Timeout);
    if ((Status == STATUS_SUCCESS || Status == STATUS_ABANDONED_WAIT_0) && IsMutex(Object)) {
        VfLockAcquired(Object, VfMutex, VfExclusive);
    }
    return Status;
}

static VOID NoteAcquiredMutexes(ULONG Count, PVOID Object[], WAIT_TYPE WaitType, NTSTATUS Status) {
    ULONG Index = (ULONG)Status & ~(ULONG)STATUS_ABANDONED_WAIT_0;
    if (Index >= Count || !NT_SUCCESS(Status)) {
        return; /* a time-out, an alert */
    }
    for (ULONG i = 0; i < Count; i++) {
        if ((WaitType == WaitAll || i == Index) && IsMutex(Object[i])) {
            VfLockAcquired(Object[i], VfMutex, VfExclusive);
        }
    }
}

/* A wait for all acquires all at once, so that no order among them is drawn, but one from what is held before. */
static NTSTATUS VerifierWaitForMultipleObjects(ULONG Count, PVOID Object[], WAIT_TYPE WaitType, KWAIT_REASON Reason,
                                               KPROCESSOR_MODE Mode, BOOLEAN Alertable, PLARGE_INTEGER Timeout,
                                               PKWAIT_BLOCK WaitBlockArray) {
    CheckWait(Object, Count, Mode, Timeout);
    for (ULONG i = 0; i < Count && (WaitType == WaitAll || Count == 1); i++) {
        WantMutex(Object[i], Timeout);
    }
    NTSTATUS Status =
        KeWaitForMultipleObjects(Count, Object, WaitType, Reason, Mode, Alertable, Timeout, WaitBlockArray);
    NoteAcquiredMutexes(Count, Object, WaitType, Status);
    return Status;
}

/* 0xC4 (0x3B, IRQL, 0, interval) above APC_LEVEL. */
static NTSTATUS VerifierDelayExecutionThread(KPROCESSOR_MODE Mode, BOOLEAN Alertable, PLARGE_INTEGER Interval) {
    KIRQL Irql = KiCurrentIrql();
    if (VfHas(VF_IRQL) && Irql > APC_LEVEL) {
        VF_STOP(0x3B, Irql, 0, Interval);
    }
    return KeDelayExecutionThread(Mode, Alertable, Interval);
}

/* ---- Signalling ---- */

/* 0xC4 (0x80, IRQL, event, 0) above DISPATCH_LEVEL. */
static LONG VerifierSetEvent(PRKEVENT Event, KPRIORITY Increment, BOOLEAN Wait) {
    KIRQL Irql = KiCurrentIrql();
    if (VfHas(VF_IRQL) && Irql > DISPATCH_LEVEL) {
        VF_STOP(0x80, Irql, Event, 0);
    }
    VfCheckResident(Event);
    return KeSetEvent(Event, Increment, Wait);
}

/* 0xE5: a call that only the levels up to DISPATCH_LEVEL know. */
static LONG VerifierReleaseSemaphore(PRKSEMAPHORE Semaphore, KPRIORITY Increment, LONG Adjustment, BOOLEAN Wait) {
    KIRQL Irql = KiCurrentIrql();
    if (VfHas(VF_IRQL) && Irql > DISPATCH_LEVEL) {
        VF_STOP(0xE5, Irql, 0, 0);
    }
    return KeReleaseSemaphore(Semaphore, Increment, Adjustment, Wait);
}

static LONG VerifierReleaseMutex(PRKMUTEX Mutex, BOOLEAN Wait) {
    KIRQL Irql = KiCurrentIrql();
    if (VfHas(VF_IRQL) && Irql > DISPATCH_LEVEL) {
        VF_STOP(0xE5, Irql, 0, 0);
    }
    VfLockReleased(Mutex, VfMutex);
    return KeReleaseMutex(Mutex, Wait);
}

/* ---- Regions ---- */

/* 0xC4 (0x11A, IRQL, 0, 0) above APC_LEVEL. */
static VOID VerifierEnterCriticalRegion(VOID) {
    KIRQL Irql = KiCurrentIrql();
    if (VfHas(VF_IRQL) && Irql > APC_LEVEL) {
        VF_STOP(0x11A, Irql, 0, 0);
    }
    KeEnterCriticalRegion();
}

/* 0xC4 (0x11B, IRQL, 0, 0) above APC_LEVEL; (0x3E, 0, 0, 0) outside a region. */
static VOID VerifierLeaveCriticalRegion(VOID) {
    KIRQL Irql = KiCurrentIrql();
    if (VfHas(VF_IRQL) && Irql > APC_LEVEL) {
        VF_STOP(0x11B, Irql, 0, 0);
    }
    if (VfHas(VF_IRQL) && KiCurrentThread()->KernelApcDisable >= 0) {
        VF_STOP(0x3E, 0, 0, 0);
    }
    KeLeaveCriticalRegion();
}

const VF_THUNK VfWaitThunks[] = {
    {"KeInitializeEvent", VerifierInitializeEvent},
    {"KeInitializeSemaphore", VerifierInitializeSemaphore},
    {"KeInitializeMutex", VerifierInitializeMutex},
    {"KeWaitForSingleObject", VerifierWaitForSingleObject},
    {"KeWaitForMutexObject", VerifierWaitForSingleObject},
    {"KeWaitForMultipleObjects", VerifierWaitForMultipleObjects},
    {"KeDelayExecutionThread", VerifierDelayExecutionThread},
    {"KeSetEvent", VerifierSetEvent},
    {"KeReleaseSemaphore", VerifierReleaseSemaphore},
    {"KeReleaseMutex", VerifierReleaseMutex},
    {"KeEnterCriticalRegion", VerifierEnterCriticalRegion},
    {"KeLeaveCriticalRegion", VerifierLeaveCriticalRegion},
    {NULL, NULL},
};

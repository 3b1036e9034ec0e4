/* test_exploresleep.c: the explored code that waits: sleeping locks, events, rundown; and the drain of the DPCs.
 *
 * Each context is a CPU with a thread. A wake-up that comes too early, or not at all, leaves one asleep at the end, which
 * breaks every rule. */
#include "../../kernel/ke/ki.h"
#include "explore.h"
#include <io.h>

static volatile ULONG64 First, Second; /* equal whenever no context is between its acquire and its release */
static volatile BOOLEAN IsTorn;
static FAST_MUTEX FastMutex;
static KMUTEX Mutex;
static EX_PUSH_LOCK PushLock;
static ERESOURCE Resource;
static KEVENT Event;
static KSEMAPHORE Semaphore;

static VOID PreparePair(VOID) {
    First = Second = 0;
    IsTorn = FALSE;
    ExInitializeFastMutex(&FastMutex);
    KeInitializeMutex(&Mutex, 0);
    ExInitializePushLock(&PushLock);
}

static VOID ChangePair(VOID) {
    ULONG64 Old = First;
    First = Old + 1;
    Second = Second + 1;
}

static VOID ReadPair(VOID) {
    ULONG64 Seen = First;
    IsTorn |= Second != Seen;
}

static BOOLEAN PairIs(ULONG64 Value) {
    return First == Value && Second == Value && !IsTorn;
}

#define ONE_AT_A_TIME \
    "between acquire and release there is one context at a time, and the last one leaves the lock free"
#define NO_WRITER_BESIDE_A_READER "no reader sees a change by halves, and the last one leaves the lock free"

/* ---- Locks that threads sleep on ---- */

static VOID ChangeUnderFastMutex(VOID) {
    ExAcquireFastMutex(&FastMutex);
    ChangePair();
    ExReleaseFastMutex(&FastMutex);
}

static BOOLEAN FastMutexIsFree(VOID) {
    return PairIs(2) && FastMutex.Count == 1 && FastMutex.Owner == NULL;
}

KEXPLORE(fast_mutex, .Rule = ONE_AT_A_TIME, .Prepare = PreparePair, KT_BOTH(ChangeUnderFastMutex),
         .Holds = FastMutexIsFree, .Sleeps = TRUE);

static VOID ChangeUnderMutex(VOID) {
    KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, NULL);
    ChangePair();
    KeReleaseMutex(&Mutex, FALSE);
}

static BOOLEAN MutexIsFree(VOID) {
    return PairIs(2) && KeReadStateMutex(&Mutex) == 1 && IsListEmpty(&Mutex.Header.WaitListHead);
}

KEXPLORE(mutex, .Rule = ONE_AT_A_TIME, .Prepare = PreparePair, KT_BOTH(ChangeUnderMutex), .Holds = MutexIsFree,
         .Sleeps = TRUE);

static VOID ChangeUnderPushLock(VOID) {
    KeEnterCriticalRegion();
    ExAcquirePushLockExclusive(&PushLock);
    ChangePair();
    ExReleasePushLockExclusive(&PushLock);
    KeLeaveCriticalRegion();
}

static VOID ReadUnderPushLock(VOID) {
    KeEnterCriticalRegion();
    ExAcquirePushLockShared(&PushLock);
    ReadPair();
    ExReleasePushLockShared(&PushLock);
    KeLeaveCriticalRegion();
}

static BOOLEAN PushLockIsFree(VOID) {
    return PairIs(2) && PushLock == 0;
}

static BOOLEAN SharedPushLockIsFree(VOID) {
    return PairIs(1) && PushLock == 0;
}

KEXPLORE(push_lock, .Rule = ONE_AT_A_TIME, .Prepare = PreparePair, KT_BOTH(ChangeUnderPushLock),
         .Holds = PushLockIsFree, .Sleeps = TRUE, .SaysOne = TRUE);
KEXPLORE(shared_push_lock, .Rule = NO_WRITER_BESIDE_A_READER, .Prepare = PreparePair,
         .Run = {ReadUnderPushLock, ChangeUnderPushLock}, .Holds = SharedPushLockIsFree, .Sleeps = TRUE,
         .SaysOne = TRUE);

/* A release from its first instruction on, which leaves both preemptions to what comes after the acquire. The acquire is not in
 * a context, so the owner's thread does not note it. */
#define NOT_NOTED 1

static VOID PrepareOwnedPushLock(VOID) {
    KIRQL OldIrql = KiCurrentIrql();
    PreparePair();
    KiSetIrql(PASSIVE_LEVEL);
    ExAcquirePushLockExclusiveEx(&PushLock, NOT_NOTED);
    KiSetIrql(OldIrql);
}

static VOID ReleaseOwned(VOID) {
    KeEnterCriticalRegion();
    ChangePair();
    ExReleasePushLockExclusiveEx(&PushLock, NOT_NOTED);
    KeLeaveCriticalRegion();
}

KEXPLORE(owned_push_lock, .Rule = ONE_AT_A_TIME, .Prepare = PrepareOwnedPushLock,
         .Run = {ReleaseOwned, ChangeUnderPushLock}, .Holds = PushLockIsFree, .Sleeps = TRUE, .SaysOne = TRUE);
KEXPLORE(owned_and_shared_push_lock, .Rule = NO_WRITER_BESIDE_A_READER, .Prepare = PrepareOwnedPushLock,
         .Run = {ReleaseOwned, ReadUnderPushLock}, .Holds = SharedPushLockIsFree, .Sleeps = TRUE, .SaysOne = TRUE);

/* ---- Resources ---- */

static BOOLEAN BeginResource(VOID) {
    return NT_SUCCESS(ExInitializeResourceLite(&Resource));
}

static VOID EndResource(VOID) {
    ExDeleteResourceLite(&Resource);
}

static VOID PrepareResource(VOID) {
    PreparePair();
    ExReinitializeResourceLite(&Resource);
}

static VOID ChangeUnderResource(VOID) {
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    ChangePair();
    ExReleaseResourceLite(&Resource);
    KeLeaveCriticalRegion();
}

static VOID ReadUnderResource(VOID) {
    KeEnterCriticalRegion();
    ExAcquireResourceSharedLite(&Resource, TRUE);
    ReadPair();
    ExReleaseResourceLite(&Resource);
    KeLeaveCriticalRegion();
}

static BOOLEAN ResourceIsFree(VOID) {
    return PairIs(2) && Resource.ActiveEntries == 0 && Resource.NumberOfExclusiveWaiters == 0;
}

static BOOLEAN SharedResourceIsFree(VOID) {
    return PairIs(1) && Resource.ActiveEntries == 0 && Resource.NumberOfSharedWaiters == 0;
}

KEXPLORE(resource, .Rule = ONE_AT_A_TIME, .Begin = BeginResource, .End = EndResource, .Prepare = PrepareResource,
         KT_BOTH(ChangeUnderResource), .Holds = ResourceIsFree, .Sleeps = TRUE);
KEXPLORE(shared_resource, .Rule = NO_WRITER_BESIDE_A_READER, .Begin = BeginResource, .End = EndResource,
         .Prepare = PrepareResource, .Run = {ReadUnderResource, ChangeUnderResource}, .Holds = SharedResourceIsFree,
         .Sleeps = TRUE);

/* ---- Events and semaphores: a signal ends one wait ---- */

static volatile ULONG Flag, IsWaiting;

static VOID PrepareSignals(VOID) {
    KeInitializeEvent(&Event, SynchronizationEvent, FALSE);
    KeInitializeSemaphore(&Semaphore, 0, 2);
    Flag = IsWaiting = FALSE;
}

static VOID SetEvent(VOID) {
    KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
}

static VOID WaitForEvent(VOID) {
    KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
}

static VOID ReleaseSemaphore(VOID) {
    KeReleaseSemaphore(&Semaphore, IO_NO_INCREMENT, 1, FALSE);
}

static VOID WaitForSemaphore(VOID) {
    KeWaitForSingleObject(&Semaphore, Executive, KernelMode, FALSE, NULL);
}

static BOOLEAN SignalIsUsedUp(VOID) {
    return KeReadStateEvent(&Event) == 0 && KeReadStateSemaphore(&Semaphore) == 0;
}

KEXPLORE(event_set_and_awaited, .Rule = "a signal ends one wait, and is used up", .Prepare = PrepareSignals,
         .Run = {SetEvent, WaitForEvent}, .Holds = SignalIsUsedUp, .Sleeps = TRUE);
KEXPLORE(semaphore, .Rule = "a release ends one wait, and is used up", .Prepare = PrepareSignals,
         .Run = {ReleaseSemaphore, WaitForSemaphore}, .Holds = SignalIsUsedUp, .Sleeps = TRUE);

static VOID SetBoth(VOID) {
    KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
    KeReleaseSemaphore(&Semaphore, IO_NO_INCREMENT, 1, FALSE);
}

static VOID WaitForBoth(VOID) {
    PVOID Objects[] = {&Semaphore, &Event};
    KeWaitForMultipleObjects(RTL_NUMBER_OF(Objects), Objects, WaitAll, Executive, KernelMode, FALSE, NULL, NULL);
}

KEXPLORE(wait_for_both, .Rule = "a wait for two objects ends when both are signalled, and uses up both",
         .Prepare = PrepareSignals, .Run = {SetBoth, WaitForBoth}, .Holds = SignalIsUsedUp, .Sleeps = TRUE);

/* ---- A flag and an event: the one who waits says so before it looks, or misses its wake-up ---- */

static BOOLEAN AllWoke(VOID) {
    return TRUE; /* none sleeps: that is tested for every rule */
}

static VOID AnnounceThenLook(VOID) {
    IsWaiting = TRUE;
    if (!Flag) {
        WaitForEvent();
    }
}

static VOID LookThenAnnounce(VOID) {
    if (!Flag) {
        IsWaiting = TRUE;
        WaitForEvent();
    }
}

static VOID SetFlagThenWake(VOID) {
    Flag = TRUE;
    if (IsWaiting) {
        SetEvent();
    }
}

static VOID LookThenWait(VOID) {
    if (!Flag) {
        WaitForEvent();
    }
}

static VOID SetFlagThenPulse(VOID) {
    Flag = TRUE;
    KePulseEvent(&Event, IO_NO_INCREMENT, FALSE);
}

#define NO_WAKE_UP_IS_LOST "no sleeper misses its wake-up"
KEXPLORE(sleep_announced, .Rule = NO_WAKE_UP_IS_LOST, .Prepare = PrepareSignals,
         .Run = {AnnounceThenLook, SetFlagThenWake}, .Holds = AllWoke, .Sleeps = TRUE);
KEXPLORE(broken_look_then_sleep, .Rule = NO_WAKE_UP_IS_LOST, .Prepare = PrepareSignals,
         .Run = {LookThenAnnounce, SetFlagThenWake}, .Holds = AllWoke, .Sleeps = TRUE, .IsBroken = TRUE);
KEXPLORE(broken_pulse, .Rule = NO_WAKE_UP_IS_LOST, .Prepare = PrepareSignals, .Run = {LookThenWait, SetFlagThenPulse},
         .Holds = AllWoke, .Sleeps = TRUE, .IsBroken = TRUE);

/* ---- Rundown: the last user that leaves against the one that waits for it ---- */

static EX_RUNDOWN_REF Rundown;
static volatile BOOLEAN IsTornDown, WasUsedAfterwards;

static VOID PrepareRundown(VOID) {
    ExInitializeRundownProtection(&Rundown);
    IsTornDown = WasUsedAfterwards = FALSE;
}

static VOID UseObject(VOID) {
    if (ExAcquireRundownProtection(&Rundown)) {
        WasUsedAfterwards = IsTornDown;
        ExReleaseRundownProtection(&Rundown);
    }
}

static VOID TearDown(VOID) {
    ExWaitForRundownProtectionRelease(&Rundown);
    IsTornDown = TRUE;
}

static VOID TearDownWithoutWaiting(VOID) {
    ULONG_PTR Users = Rundown.Count;
    while (Users != 0) {
        YieldProcessor();
        Users = Rundown.Count;
    }
    IsTornDown = TRUE;
}

static BOOLEAN WasNotUsedAfterwards(VOID) {
    return !WasUsedAfterwards && IsTornDown;
}

#define NOTHING_IN_USE_IS_TORN_DOWN "what is in use is not torn down"
KEXPLORE(rundown_awaited, .Rule = NOTHING_IN_USE_IS_TORN_DOWN, .Prepare = PrepareRundown, .Run = {UseObject, TearDown},
         .Holds = WasNotUsedAfterwards, .Sleeps = TRUE);
KEXPLORE(broken_rundown_by_count, .Rule = NOTHING_IN_USE_IS_TORN_DOWN, .Prepare = PrepareRundown,
         .Run = {UseObject, TearDownWithoutWaiting}, .Holds = WasNotUsedAfterwards, .IsBroken = TRUE);

/* The same with a count for each CPU: the user enters on one, the waiter closes both. */
static PEX_RUNDOWN_REF_CACHE_AWARE AwareRundown;

static BOOLEAN BeginAwareRundown(VOID) {
    AwareRundown = ExAllocateCacheAwareRundownProtection(NonPagedPoolNx, 'lpxE');
    return AwareRundown != NULL;
}

static VOID EndAwareRundown(VOID) {
    ExFreeCacheAwareRundownProtection(AwareRundown);
}

static VOID PrepareAwareRundown(VOID) {
    ExReInitializeRundownProtectionCacheAware(AwareRundown);
    IsTornDown = WasUsedAfterwards = FALSE;
}

static VOID UseAwareObject(VOID) {
    if (ExAcquireRundownProtectionCacheAware(AwareRundown)) {
        WasUsedAfterwards = IsTornDown;
        ExReleaseRundownProtectionCacheAware(AwareRundown);
    }
}

static VOID TearDownAware(VOID) {
    ExWaitForRundownProtectionReleaseCacheAware(AwareRundown);
    IsTornDown = TRUE;
}

KEXPLORE(cache_aware_rundown, .Rule = NOTHING_IN_USE_IS_TORN_DOWN, .Begin = BeginAwareRundown, .End = EndAwareRundown,
         .Prepare = PrepareAwareRundown, .Run = {UseAwareObject, TearDownAware}, .Holds = WasNotUsedAfterwards,
         .Sleeps = TRUE);

/* A driver's: its remover has entered too. */
static IO_REMOVE_LOCK RemoveLock;

static VOID PrepareRemoveLock(VOID) {
    IoInitializeRemoveLock(&RemoveLock, 0, 0, 0);
    IoAcquireRemoveLock(&RemoveLock, NULL);
    IsTornDown = WasUsedAfterwards = FALSE;
}

static VOID UseDevice(VOID) {
    if (NT_SUCCESS(IoAcquireRemoveLock(&RemoveLock, NULL))) {
        WasUsedAfterwards = IsTornDown;
        IoReleaseRemoveLock(&RemoveLock, NULL);
    }
}

static VOID RemoveDevice(VOID) {
    IoReleaseRemoveLockAndWait(&RemoveLock, NULL);
    IsTornDown = TRUE;
}

KEXPLORE(remove_lock, .Rule = NOTHING_IN_USE_IS_TORN_DOWN, .Prepare = PrepareRemoveLock,
         .Run = {UseDevice, RemoveDevice}, .Holds = WasNotUsedAfterwards, .Sleeps = TRUE);

/* ---- DPCs: CPU 1 drains its queue, CPU 0 queues the same DPC again; its first argument tells the calls apart ---- */

static KDPC Dpc;
static volatile ULONG64 Seen[3];
static volatile ULONG SeenCount;
static volatile BOOLEAN IsQueuedAgain;

static VOID NoteArgument(PKDPC This, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(This);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument2);
    Seen[SeenCount++] = (ULONG64)Argument1;
}

/* It is queued, and CPU 1 has been asked to drain. */
static VOID PrepareQueuedDpc(VOID) {
    KeInitializeDpc(&Dpc, NoteArgument, NULL);
    KeSetTargetProcessorDpc(&Dpc, 1);
    KeSetImportanceDpc(&Dpc, MediumHighImportance);
    KiProcessorBlock[1]->DpcInterruptRequested = TRUE;
    KeInsertQueueDpc(&Dpc, (PVOID)1, NULL);
    SeenCount = 0;
    Seen[0] = Seen[1] = 0;
    IsQueuedAgain = FALSE;
}

static VOID QueueAgain(VOID) {
    IsQueuedAgain = KeInsertQueueDpc(&Dpc, (PVOID)2, NULL);
}

static VOID Drain(VOID) {
    KiDispatchInterrupt();
}

/* Each call with its own argument; what still waits has asked for a drain. */
static BOOLEAN EachCallRan(VOID) {
    BOOLEAN IsLeft = Dpc.DpcData != NULL;
    return Seen[0] == 1 && SeenCount + IsLeft == 1u + IsQueuedAgain && (SeenCount < 2 || Seen[1] == 2) &&
           (!IsLeft || KiProcessorBlock[1]->DpcInterruptRequested);
}

static VOID DrainThenForget(VOID) {
    KiDispatchInterrupt();
    KiProcessorBlock[1]->DpcInterruptRequested = FALSE;
}

static VOID FreeThenRead(VOID) {
    KDPC_DATA *Queue = &KiProcessorBlock[1]->DpcData;
    ULONG64 OldIrql = KiRaiseToHigh();
    KiLockDpcQueue(Queue);
    PKDPC Taken = CONTAINING_RECORD(RemoveHeadList(&Queue->DpcListHead), KDPC, DpcListEntry);
    Queue->DpcQueueDepth--;
    Taken->DpcData = NULL;
    KiUnlockDpcQueue(Queue);
    KiSetIrql(OldIrql);
    Seen[SeenCount++] = (ULONG64)Taken->SystemArgument1;
}

static BOOLEAN FirstCallSawOne(VOID) {
    return Seen[0] == 1;
}

KEXPLORE(dpc_queued_and_drained, .Rule = "a DPC runs once for each time it was queued, with the arguments of that time",
         .Prepare = PrepareQueuedDpc, .Run = {QueueAgain, Drain}, .Holds = EachCallRan, .Irql = DISPATCH_LEVEL,
         .Sleeps = TRUE);
KEXPLORE(broken_dpc_drain_forgets, .Rule = "a DPC that waits has asked for a drain", .Prepare = PrepareQueuedDpc,
         .Run = {QueueAgain, DrainThenForget}, .Holds = EachCallRan, .Irql = DISPATCH_LEVEL, .Sleeps = TRUE,
         .IsBroken = TRUE);
KEXPLORE(broken_dpc_freed_before_read, .Rule = "a call gets the arguments that it was queued with",
         .Prepare = PrepareQueuedDpc, .Run = {QueueAgain, FreeThenRead}, .Holds = FirstCallSawOne,
         .Irql = DISPATCH_LEVEL, .IsBroken = TRUE);

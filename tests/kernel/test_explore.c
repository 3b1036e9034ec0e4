/* test_explore.c: the explored code: each lock, code that works without one, and faults that the explorer must find.
 *
 * A name says what two contexts do at one time. `tools/bugcheck explore` lists them. */
#include "explore.h"
#include <io.h>
#include <ob.h>
#include <trace.h>

/* ---- Locks: two increments of one counter, three instructions each ---- */

static volatile ULONG64 Counter;
static volatile UCHAR Textbook;
VOID KiAcquireBrokenLock(volatile UCHAR *Lock); /* arch/x86_64/brokenlock.asm */
VOID KiReleaseBrokenLock(volatile UCHAR *Lock);
static KSPIN_LOCK SpinLock;
static EX_SPIN_LOCK SharedLock;
static EX_PUSH_LOCK PushLock;
static FAST_MUTEX FastMutex;
static volatile LONG Refused;

static VOID PrepareCounter(VOID) {
    Counter = 0;
    Textbook = 0;
    Refused = 0;
    KeInitializeSpinLock(&SpinLock);
    SharedLock = 0;
    ExInitializePushLock(&PushLock);
    ExInitializeFastMutex(&FastMutex);
}

static BOOLEAN CountedBoth(VOID) {
    return Counter == 2;
}

/* One that was refused has not counted. */
static BOOLEAN CountedAllThatCameIn(VOID) {
    return Counter == KT_CONTEXTS - (ULONG64)Refused && Refused < KT_CONTEXTS;
}

static VOID Count(VOID) {
    ULONG64 Old = Counter;
    Counter = Old + 1;
}

static VOID CountUnderTextbook(VOID) {
    KiAcquireTextbookLock(&Textbook);
    Count();
    KiReleaseTextbookLock(&Textbook);
}

static VOID CountUnderBroken(VOID) {
    KiAcquireBrokenLock(&Textbook);
    Count();
    KiReleaseBrokenLock(&Textbook);
}

static VOID CountUnderSpinLock(VOID) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&SpinLock);
    Count();
    KeReleaseSpinLock(&SpinLock, OldIrql);
}

static VOID CountUnderTriedLock(VOID) {
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    while (!KeTryToAcquireSpinLockAtDpcLevel(&SpinLock)) {
    }
    Count();
    KeReleaseSpinLockFromDpcLevel(&SpinLock);
    KeLowerIrql(OldIrql);
}

static VOID CountUnderQueuedLock(VOID) {
    KLOCK_QUEUE_HANDLE Handle;
    KeAcquireInStackQueuedSpinLock(&SpinLock, &Handle);
    Count();
    KeReleaseInStackQueuedSpinLock(&Handle);
}

static VOID CountUnderNumberedLock(VOID) {
    KIRQL OldIrql = KeAcquireQueuedSpinLock(LockQueueVacbLock);
    Count();
    KeReleaseQueuedSpinLock(LockQueueVacbLock, OldIrql);
}

static VOID CountUnderExclusiveLock(VOID) {
    KIRQL OldIrql = ExAcquireSpinLockExclusive(&SharedLock);
    Count();
    ExReleaseSpinLockExclusive(&SharedLock, OldIrql);
}

/* It reads twice: nothing is changed in between. */
static VOID ReadUnderSharedLock(VOID) {
    KIRQL OldIrql = ExAcquireSpinLockShared(&SharedLock);
    ULONG64 Seen = Counter;
    Refused = Counter != Seen;
    ExReleaseSpinLockShared(&SharedLock, OldIrql);
}

static BOOLEAN CountedUnseen(VOID) {
    return Counter == 1 && !Refused && SharedLock == 0;
}

static VOID CountUnderTriedPushLock(VOID) {
    KeEnterCriticalRegion();
    if (ExTryAcquirePushLockExclusive(&PushLock)) {
        Count();
        ExReleasePushLockExclusive(&PushLock);
    } else {
        InterlockedIncrement(&Refused);
    }
    KeLeaveCriticalRegion();
}

static VOID CountUnderTriedMutex(VOID) {
    if (ExTryToAcquireFastMutex(&FastMutex)) {
        Count();
        ExReleaseFastMutex(&FastMutex);
    } else {
        InterlockedIncrement(&Refused);
    }
}

#define SPINNING_TURN 64 /* the textbook lock spins without a pause */

/* A comes from APC_LEVEL, B from PASSIVE_LEVEL; each leaves at the level at which it came. */
static VOID TakeMutexAtApcLevel(VOID) {
    KIRQL OldIrql = KfRaiseIrql(APC_LEVEL);
    CountUnderTriedMutex();
    Refused += KeGetCurrentIrql() == APC_LEVEL ? 0 : KT_CONTEXTS;
    KiSetIrql(OldIrql);
}

#define ONE_AT_A_TIME "between acquire and release there is one context at a time"

KEXPLORE(textbook_lock, .Rule = ONE_AT_A_TIME, .Prepare = PrepareCounter, KT_BOTH(CountUnderTextbook),
         .Holds = CountedBoth, .Turn = SPINNING_TURN);
KEXPLORE(spin_lock, .Rule = ONE_AT_A_TIME, .Prepare = PrepareCounter, KT_BOTH(CountUnderSpinLock),
         .Holds = CountedBoth);
KEXPLORE(tried_spin_lock, .Rule = ONE_AT_A_TIME, .Prepare = PrepareCounter, KT_BOTH(CountUnderTriedLock),
         .Holds = CountedBoth);
KEXPLORE(queued_lock, .Rule = ONE_AT_A_TIME, .Prepare = PrepareCounter, KT_BOTH(CountUnderQueuedLock),
         .Holds = CountedBoth);
KEXPLORE(numbered_lock, .Rule = ONE_AT_A_TIME, .Prepare = PrepareCounter, KT_BOTH(CountUnderNumberedLock),
         .Holds = CountedBoth);
KEXPLORE(exclusive_spin_lock, .Rule = ONE_AT_A_TIME, .Prepare = PrepareCounter, KT_BOTH(CountUnderExclusiveLock),
         .Holds = CountedBoth);
KEXPLORE(shared_spin_lock, .Rule = "nothing changes between a shared acquire and its release",
         .Prepare = PrepareCounter, .Run = {ReadUnderSharedLock, CountUnderExclusiveLock}, .Holds = CountedUnseen);
KEXPLORE(tried_push_lock, .Rule = ONE_AT_A_TIME ", and one of two gets in", .Prepare = PrepareCounter,
         KT_BOTH(CountUnderTriedPushLock), .Holds = CountedAllThatCameIn);
KEXPLORE(tried_fast_mutex, .Rule = ONE_AT_A_TIME ", and one of two gets in", .Prepare = PrepareCounter,
         KT_BOTH(CountUnderTriedMutex), .Holds = CountedAllThatCameIn);

KEXPLORE(levels_of_a_fast_mutex, .Rule = "an owner goes back to the level at which it came", .Prepare = PrepareCounter,
         .Run = {TakeMutexAtApcLevel, CountUnderTriedMutex}, .Holds = CountedAllThatCameIn);

KEXPLORE(broken_no_lock, .Rule = "each of two increments counts", .Prepare = PrepareCounter, KT_BOTH(Count),
         .Holds = CountedBoth, .IsBroken = TRUE);
KEXPLORE(broken_test_then_set, .Rule = ONE_AT_A_TIME, .Prepare = PrepareCounter, KT_BOTH(CountUnderBroken),
         .Holds = CountedBoth, .Turn = SPINNING_TURN, .IsBroken = TRUE);

/* ---- S-lists: a pop, a pop and a push against a pop: an entry has one owner, also when the first comes back ---- */

typedef struct _ITEM {
    SLIST_ENTRY Entry;
    ULONG Owners;
} ITEM;

static SLIST_HEADER Head;
static ITEM Items[3];
static PSLIST_ENTRY Taken[KT_CONTEXTS];

static VOID PrepareStack(VOID) {
    ExInitializeSListHead(&Head);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Items); Index++) {
        Items[Index].Owners = 0;
        InterlockedPushEntrySList(&Head, &Items[Index].Entry);
    }
    Taken[0] = Taken[1] = NULL;
}

static VOID PopTwoAndPushTheFirst(VOID) {
    PSLIST_ENTRY First = InterlockedPopEntrySList(&Head);
    Taken[0] = InterlockedPopEntrySList(&Head);
    InterlockedPushEntrySList(&Head, First);
}

static VOID PopOne(VOID) {
    Taken[1] = InterlockedPopEntrySList(&Head);
}

static BOOLEAN EachItemHasOneOwner(VOID) {
    ULONG Found = 0;
    for (PSLIST_ENTRY Entry = InterlockedFlushSList(&Head); Entry != NULL && Found < RTL_NUMBER_OF(Items);
         Entry = Entry->Next) {
        ((ITEM *)Entry)->Owners++;
        Found++;
    }
    ((ITEM *)Taken[0])->Owners++;
    ((ITEM *)Taken[1])->Owners++;
    return Found == 1 && Items[0].Owners == 1 && Items[1].Owners == 1 && Items[2].Owners == 1;
}

KEXPLORE(s_list, .Rule = "an entry of an S-list is on the list or has one owner", .Prepare = PrepareStack,
         .Run = {PopTwoAndPushTheFirst, PopOne}, .Holds = EachItemHasOneOwner);

/* With another entry below the first one, so that the list is as deep as before: the sequence number alone tells. */
static ITEM Spare;

static VOID PrepareDeepStack(VOID) {
    PrepareStack();
    Spare.Owners = 0;
}

static VOID PopTwoAndPushAnotherAndTheFirst(VOID) {
    PSLIST_ENTRY First = InterlockedPopEntrySList(&Head);
    Taken[0] = InterlockedPopEntrySList(&Head);
    InterlockedPushEntrySList(&Head, &Spare.Entry);
    InterlockedPushEntrySList(&Head, First);
}

static BOOLEAN EachOfFourHasOneOwner(VOID) {
    ULONG Found = 0;
    for (PSLIST_ENTRY Entry = InterlockedFlushSList(&Head); Entry != NULL && Found < 4; Entry = Entry->Next) {
        ((ITEM *)Entry)->Owners++;
        Found++;
    }
    ((ITEM *)Taken[0])->Owners++;
    ((ITEM *)Taken[1])->Owners++;
    return Found == 2 && Items[0].Owners == 1 && Items[1].Owners == 1 && Items[2].Owners == 1 && Spare.Owners == 1;
}

KEXPLORE(stack_as_deep_as_before, .Rule = "an entry of an S-list is on the list or has one owner",
         .Prepare = PrepareDeepStack, .Run = {PopTwoAndPushAnotherAndTheFirst, PopOne}, .Holds = EachOfFourHasOneOwner);

/* The same stack without a sequence number. */
static PSLIST_ENTRY volatile BareHead;

static PSLIST_ENTRY BarePop(VOID) {
    PSLIST_ENTRY Entry, Next;
    do {
        Entry = BareHead;
        Next = Entry->Next;
    } while (InterlockedCompareExchangePointer((PVOID volatile *)&BareHead, Next, Entry) != Entry);
    return Entry;
}

static VOID BarePush(PSLIST_ENTRY Entry) {
    do {
        Entry->Next = BareHead;
    } while (InterlockedCompareExchangePointer((PVOID volatile *)&BareHead, Entry, Entry->Next) != Entry->Next);
}

static VOID PrepareBareStack(VOID) {
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Items); Index++) {
        Items[Index].Owners = 0;
        Items[Index].Entry.Next = Index ? &Items[Index - 1].Entry : NULL;
    }
    BareHead = &Items[RTL_NUMBER_OF(Items) - 1].Entry;
}

static VOID BarePopTwoAndPushTheFirst(VOID) {
    PSLIST_ENTRY First = BarePop();
    Taken[0] = BarePop();
    BarePush(First);
}

static VOID BarePopOne(VOID) {
    Taken[1] = BarePop();
}

static BOOLEAN EachBareItemHasOneOwner(VOID) {
    return Taken[0] != BareHead && Taken[1] != BareHead && Taken[0] != Taken[1];
}

KEXPLORE(broken_stack_without_sequence, .Rule = "an entry is on the stack or has one owner",
         .Prepare = PrepareBareStack, .Run = {BarePopTwoAndPushTheFirst, BarePopOne}, .Holds = EachBareItemHasOneOwner,
         .IsBroken = TRUE);

/* ---- Rundown protection: users that come and go ---- */

static EX_RUNDOWN_REF Rundown;

static VOID PrepareRundown(VOID) {
    ExInitializeRundownProtection(&Rundown);
}

static VOID UseTwice(VOID) {
    for (ULONG Round = 0; Round < 2; Round++) {
        if (ExAcquireRundownProtection(&Rundown)) {
            ExReleaseRundownProtection(&Rundown);
        }
    }
}

static BOOLEAN NobodyIsIn(VOID) {
    return Rundown.Count == 0;
}

KEXPLORE(rundown_users, .Rule = "each user that enters leaves", .Prepare = PrepareRundown, KT_BOTH(UseTwice),
         .Holds = NobodyIsIn);

/* ---- A DPC without a target: each of two CPUs queues it to itself, and one of them wins ---- */

static KDPC Dpc;
static volatile LONG Queued, Removed;

static VOID DoNothing(PKDPC This, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(This);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
}

static VOID PrepareDpc(VOID) {
    KeInitializeDpc(&Dpc, DoNothing, NULL);
    Queued = Removed = 0;
}

static VOID QueueDpc(VOID) {
    if (KeInsertQueueDpc(&Dpc, NULL, NULL)) {
        InterlockedIncrement(&Queued);
    }
}

static VOID RemoveDpc(VOID) {
    if (KeRemoveQueueDpc(&Dpc)) {
        InterlockedIncrement(&Removed);
    }
}

/* The queues are empty again, and no drain is asked for. */
static BOOLEAN LeaveQueues(BOOLEAN IsRight) {
    KeRemoveQueueDpc(&Dpc);
    for (ULONG Number = 0; Number < KT_CONTEXTS; Number++) {
        PKPRCB Prcb = KiProcessorBlock[Number];
        IsRight &= IsListEmpty(&Prcb->DpcData.DpcListHead) && Prcb->DpcData.DpcQueueDepth == 0;
        Prcb->DpcInterruptRequested = FALSE;
    }
    return IsRight;
}

static BOOLEAN QueuedOnce(VOID) {
    return LeaveQueues(Queued == 1 && Dpc.DpcData != NULL);
}

static BOOLEAN QueuedOrRemoved(VOID) {
    return LeaveQueues(Queued == 1 && (Dpc.DpcData == NULL) == (Removed == 1));
}

KEXPLORE(dpc_queued_by_two, .Rule = "one of two CPUs queues a DPC, once", .Prepare = PrepareDpc, KT_BOTH(QueueDpc),
         .Holds = QueuedOnce);
KEXPLORE(dpc_queued_and_removed, .Rule = "a DPC that was queued is in the queue or was removed", .Prepare = PrepareDpc,
         .Run = {QueueDpc, RemoveDpc}, .Holds = QueuedOrRemoved);

/* ---- An event against a wait that does not sleep: the signal is taken once or still there ---- */

static KEVENT Event;
static volatile LONG Got;

static VOID PrepareEvent(VOID) {
    KeInitializeEvent(&Event, SynchronizationEvent, FALSE);
    Got = 0;
}

static VOID SetEvent(VOID) {
    KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
}

static VOID TakeEvent(VOID) {
    LARGE_INTEGER Now = {.QuadPart = 0};
    if (KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, &Now) == STATUS_SUCCESS) {
        InterlockedIncrement(&Got);
    }
}

static BOOLEAN SignalIsKept(VOID) {
    return (KeReadStateEvent(&Event) != 0) == (Got == 0);
}

KEXPLORE(event_set_and_polled, .Rule = "a signal is taken by one wait, or is still there", .Prepare = PrepareEvent,
         .Run = {SetEvent, TakeEvent}, .Holds = SignalIsKept);

/* ---- A cancel-safe queue: a request that is taken and cancelled at one time has one owner ---- */

static IO_CSQ Csq;
static KSPIN_LOCK CsqLock;
static struct {
    IRP Irp;
    IO_STACK_LOCATION Location;
} CsqIrp;
static volatile BOOLEAN IsQueued, IsCancelled;
static PIRP volatile TakenIrp;

static VOID CsqInsert(PIO_CSQ Queue, PIRP Irp) {
    UNREFERENCED_PARAMETER(Queue);
    UNREFERENCED_PARAMETER(Irp);
    IsQueued = TRUE;
}

static VOID CsqRemove(PIO_CSQ Queue, PIRP Irp) {
    UNREFERENCED_PARAMETER(Queue);
    UNREFERENCED_PARAMETER(Irp);
    IsQueued = FALSE;
}

static PIRP CsqPeek(PIO_CSQ Queue, PIRP Irp, PVOID Context) {
    UNREFERENCED_PARAMETER(Queue);
    UNREFERENCED_PARAMETER(Context);
    return Irp == NULL && IsQueued ? &CsqIrp.Irp : NULL;
}

static VOID CsqAcquire(PIO_CSQ Queue, PKIRQL Irql) {
    UNREFERENCED_PARAMETER(Queue);
    *Irql = KeAcquireSpinLockRaiseToDpc(&CsqLock);
}

static VOID CsqRelease(PIO_CSQ Queue, KIRQL Irql) {
    UNREFERENCED_PARAMETER(Queue);
    KeReleaseSpinLock(&CsqLock, Irql);
}

static VOID CsqCompleteCancelled(PIO_CSQ Queue, PIRP Irp) {
    UNREFERENCED_PARAMETER(Queue);
    UNREFERENCED_PARAMETER(Irp);
    IsCancelled = TRUE;
}

static VOID PrepareCsq(VOID) {
    KIRQL Irql = KiCurrentIrql();
    KiSetIrql(PASSIVE_LEVEL); /* the queue's lock lowers to where it came from */
    KeInitializeSpinLock(&CsqLock);
    IoCsqInitialize(&Csq, CsqInsert, CsqRemove, CsqPeek, CsqAcquire, CsqRelease, CsqCompleteCancelled);
    IoInitializeIrp(&CsqIrp.Irp, sizeof(CsqIrp), 1);
    IoSetNextIrpStackLocation(&CsqIrp.Irp);
    TakenIrp = NULL;
    IsCancelled = FALSE;
    IoCsqInsertIrp(&Csq, &CsqIrp.Irp, NULL);
    KiSetIrql(Irql);
}

static VOID CancelQueued(VOID) {
    IoCancelIrp(&CsqIrp.Irp);
}

static VOID TakeQueuedIrp(VOID) {
    TakenIrp = IoCsqRemoveNextIrp(&Csq, NULL);
}

static BOOLEAN HasOneOwner(VOID) {
    return !IsQueued && (TakenIrp != NULL) != IsCancelled;
}

KEXPLORE(cancel_safe_queue, .Rule = "a queued request is taken or cancelled, not both", .Prepare = PrepareCsq,
         .Run = {CancelQueued, TakeQueuedIrp}, .Holds = HasOneOwner);

/* ---- A handle: it is referenced while another thread closes it ---- */

static volatile LONG HandleDeletions;
static HANDLE Handle;
static PVOID volatile Referenced;

static VOID CountDeletion(PVOID Object) {
    UNREFERENCED_PARAMETER(Object);
    HandleDeletions++;
}

static OBJECT_TYPE HandleType = {.Name = "Explored", .Delete = CountDeletion};

/* The pool is called below IPI_LEVEL; with interrupts off nothing comes in. */
static VOID PrepareHandle(VOID) {
    KIRQL Irql = KiCurrentIrql();
    KiSetIrql(PASSIVE_LEVEL);
    PVOID Object = ObCreateObject(&HandleType, sizeof(ULONG64));
    HandleDeletions = 0;
    Referenced = NULL;
    Handle = NULL;
    if (Object != NULL && NT_SUCCESS(ObInsertHandle(Object, &Handle))) {
        ObfDereferenceObject(Object);
    }
    KiSetIrql(Irql);
}

static VOID ReferenceByHandle(VOID) {
    PVOID Object;
    if (NT_SUCCESS(ObReferenceObjectByHandle(Handle, 0, &HandleType, KernelMode, &Object, NULL))) {
        Referenced = Object;
    }
}

static VOID CloseHandle(VOID) {
    ZwClose(Handle);
}

static BOOLEAN ReferenceKeepsTheObject(VOID) {
    BOOLEAN IsRight = HandleDeletions == (Referenced == NULL);
    KIRQL Irql = KiCurrentIrql();
    KiSetIrql(PASSIVE_LEVEL);
    if (Referenced != NULL) {
        ObfDereferenceObject(Referenced);
    }
    KiSetIrql(Irql);
    return IsRight && HandleDeletions == 1;
}

KEXPLORE(handle_closed, .Rule = "an object that a handle led to lives as long as it is referenced",
         .Prepare = PrepareHandle, .Run = {ReferenceByHandle, CloseHandle}, .Holds = ReferenceKeepsTheObject);

/* ---- Faults of the kinds that a kernel can have, as small as they can be ---- */

static VOID UnlockBeforeTheLastStore(VOID) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&SpinLock);
    ULONG64 Old = Counter;
    KeReleaseSpinLock(&SpinLock, OldIrql);
    Counter = Old + 1;
}

KEXPLORE(broken_unlock_before_store, .Rule = ONE_AT_A_TIME, .Prepare = PrepareCounter,
         KT_BOTH(UnlockBeforeTheLastStore), .Holds = CountedBoth, .IsBroken = TRUE);

/* ---- The trace: two that share a CPU, as a thread and the interrupt that comes to it do ---- */

static ULONG64 CursorBefore;

static VOID PrepareTrace(VOID) {
    CursorBefore = KiProcessorBlock[0]->TraceCursor;
}

static VOID TraceOne(VOID) {
    KdTrace(TraceWake, 1, 0x1111, 0x1111, 0x1111);
}

static VOID TraceAnother(VOID) {
    KdTrace(TraceWake, 2, 0x2222, 0x2222, 0x2222);
}

static BOOLEAN IsWhole(const KTRACE_EVENT *Written) {
    ULONG64 Value = Written->Detail == 1 ? 0x1111 : 0x2222;
    return Written->A == Value && Written->B == Value;
}

static BOOLEAN BothEventsAreThere(VOID) {
    PKPRCB Prcb = KiProcessorBlock[0];
    KTRACE_EVENT *Written[2];
    for (ULONG Index = 0; Index < 2; Index++) {
        Written[Index] = (KTRACE_EVENT *)((PUCHAR)Prcb->TraceRing +
                                          ((CursorBefore + Index * sizeof(KTRACE_EVENT)) & Prcb->TraceMask));
    }
    return Prcb->TraceCursor == CursorBefore + 2 * sizeof(KTRACE_EVENT) && IsWhole(Written[0]) && IsWhole(Written[1]) &&
           Written[0]->Detail != Written[1]->Detail;
}

KEXPLORE(trace_ring, .Rule = "two events of one CPU are both written, and whole", .Prepare = PrepareTrace,
         .Run = {TraceOne, TraceAnother}, .Holds = BothEventsAreThere, .SharesCpu = TRUE);

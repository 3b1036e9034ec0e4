/* test_races.c: short meetings of two CPUs in locks, tables and the pager, and some that go wrong on purpose. */
#include "race.h"
#include <io.h>
#include "pagehelp.h"

#define TAG 'tseT'

/* ---- The meeting ---- */

#define SPINS 1000 /* the tool's preemptions last no longer */

static volatile BOOLEAN IsHere, IsOn, IsDone;

VOID __attribute__((noinline)) KtMeetingBegins(VOID) {
    IsOn = TRUE;
}

VOID __attribute__((noinline)) KtMeetingEnds(VOID) {
    IsOn = FALSE;
}

/* Spins, so that nothing but the routines themselves is part of the meeting, unless a thread sleeps in one. */
static VOID WaitFor(volatile BOOLEAN *Flag, BOOLEAN Value) {
    for (ULONG Turn = 0; Turn < SPINS && *Flag != Value; Turn++) {
        YieldProcessor();
    }
    KT_WAIT_UNTIL(*Flag == Value);
}

static VOID WaitAndRun(PVOID Context) {
    VOID (*const *Run)(VOID) = Context;
    IsHere = TRUE;
    WaitFor(&IsOn, TRUE);
    (*Run)();
    IsDone = TRUE;
    WaitFor(&IsOn, FALSE);
}

static VOID Meet(const KT_RACE *Race, ULONG First) {
    static KT_THREAD Other;
    IsHere = IsDone = FALSE;
    Race->Prepare();
    KtPin(0);
    if (KtCreateThread(&Other, "the other", 8, 1, WaitAndRun, (PVOID)&Race->Run[1 - First])) {
        WaitFor(&IsHere, TRUE);
        KtMeetingBegins();
        Race->Run[First]();
        WaitFor(&IsDone, TRUE);
        KtMeetingEnds();
        KtJoin(&Other);
        if (!Race->Holds()) {
            KtFail(__FILE__, __LINE__, Race->Rule);
        }
    }
    KtUnpin();
}

VOID KtRunRace(const KT_RACE *Race) {
    KT_NEEDS_PROCESSORS(2);
    for (ULONG First = 0; First < 2; First++) {
        Meet(Race, First);
    }
}

/* A look at the other CPU, long enough for it to notice. */
static VOID Linger(VOID) {
    for (ULONG Turn = 0; Turn < 20; Turn++) {
        YieldProcessor();
    }
}

static volatile LONG Count, Wrong;
static volatile BOOLEAN IsGone;
static KEVENT Event;

static BOOLEAN NothingWrong(VOID) {
    return Wrong == 0;
}

/* ---- A remove lock ---- */

static IO_REMOVE_LOCK RemoveLock;

static VOID PrepareRemoveLock(VOID) {
    Wrong = 0;
    IsGone = FALSE;
    IoInitializeRemoveLock(&RemoveLock, TAG, 0, 0);
}

static VOID UseDevice(VOID) {
    if (IoAcquireRemoveLock(&RemoveLock, NULL) == STATUS_SUCCESS) {
        Wrong |= IsGone;
        IoReleaseRemoveLock(&RemoveLock, NULL);
    }
}

static VOID RemoveDevice(VOID) {
    IoAcquireRemoveLock(&RemoveLock, NULL);
    IoReleaseRemoveLockAndWait(&RemoveLock, NULL);
    IsGone = TRUE;
}

KRACE(remove_lock, .Rule = "the device is there while a request is inside", .Prepare = PrepareRemoveLock,
      .Run = {UseDevice, RemoveDevice}, .Holds = NothingWrong);

/* Looks before it counts. */
static VOID UseDeviceAfterALook(VOID) {
    if (!RemoveLock.Removed) {
        InterlockedIncrement(&RemoveLock.IoCount);
        Wrong |= IsGone;
        IoReleaseRemoveLock(&RemoveLock, NULL);
    }
}

KRACE_BROKEN(look_then_count, .Rule = "the device is there while a request is inside", .Prepare = PrepareRemoveLock,
             .Run = {UseDeviceAfterALook, RemoveDevice}, .Holds = NothingWrong);

/* ---- A push lock ---- */

static EX_PUSH_LOCK PushLock;
static ULONG64 Inside;

static VOID PreparePushLock(VOID) {
    ExInitializePushLock(&PushLock);
    Wrong = Count = 0;
    Inside = 0;
}

static VOID CountExclusive(VOID) {
    KeEnterCriticalRegion();
    ExAcquirePushLockExclusive(&PushLock);
    Wrong |= Inside++ != 0;
    Count = Count + 1;
    Inside--;
    ExReleasePushLockExclusive(&PushLock);
    KeLeaveCriticalRegion();
}

static VOID ReadShared(VOID) {
    KeEnterCriticalRegion();
    ExAcquirePushLockShared(&PushLock);
    Wrong |= Inside != 0;
    ExReleasePushLockShared(&PushLock);
    KeLeaveCriticalRegion();
}

static BOOLEAN CountedBoth(VOID) {
    return Count == 2 && Wrong == 0 && PushLock == 0;
}

static BOOLEAN CountedOne(VOID) {
    return Count == 1 && Wrong == 0 && PushLock == 0;
}

KRACE(push_lock_writers, .Rule = "one owner at a time, and each waiter gets the lock", .Prepare = PreparePushLock,
      .Run = {CountExclusive, CountExclusive}, .Holds = CountedBoth);
KRACE(push_lock_reader, .Rule = "a reader never sees a writer at work", .Prepare = PreparePushLock,
      .Run = {CountExclusive, ReadShared}, .Holds = CountedOne);

/* ---- Mutexes ---- */

static FAST_MUTEX FastMutex;
static KMUTEX Mutex;

static VOID PrepareMutexes(VOID) {
    ExInitializeFastMutex(&FastMutex);
    KeInitializeMutex(&Mutex, 0);
    Count = Wrong = 0;
}

static VOID CountUnderFastMutex(VOID) {
    ExAcquireFastMutex(&FastMutex);
    Count = Count + 1;
    ExReleaseFastMutex(&FastMutex);
}

static VOID CountUnderMutex(VOID) {
    KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, NULL);
    Count = Count + 1;
    KeReleaseMutex(&Mutex, FALSE);
}

static BOOLEAN CountIsTwo(VOID) {
    return Count == 2;
}

KRACE(fast_mutex, .Rule = "each of two increments under a fast mutex counts", .Prepare = PrepareMutexes,
      .Run = {CountUnderFastMutex, CountUnderFastMutex}, .Holds = CountIsTwo);
KRACE(mutex, .Rule = "each of two increments under a mutex counts", .Prepare = PrepareMutexes,
      .Run = {CountUnderMutex, CountUnderMutex}, .Holds = CountIsTwo);

static VOID CountUnderNothing(VOID) {
    Count = Count + 1;
}

KRACE_BROKEN(no_lock, .Rule = "each of two increments counts", .Prepare = PrepareMutexes,
             .Run = {CountUnderNothing, CountUnderNothing}, .Holds = CountIsTwo);

/* ---- Sleeping, and being woken ---- */

static volatile LONG Sleeper; /* 0 spins, 1 sleeps, 2 woken */

static VOID PrepareSleeper(VOID) {
    Sleeper = 0;
    KeInitializeEvent(&Event, SynchronizationEvent, FALSE);
}

static VOID SleepInOneStep(VOID) {
    if (InterlockedCompareExchange(&Sleeper, 1, 0) == 0) {
        KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
    }
}

/* To look and to say so are two steps: the waker may come in between. */
static VOID SleepInTwoSteps(VOID) {
    if (Sleeper == 0) {
        Sleeper = 1;
        KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
    }
}

static VOID WakeSleeper(VOID) {
    if (InterlockedExchange(&Sleeper, 2) == 1) {
        KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
    }
}

static BOOLEAN IsAwake(VOID) {
    return TRUE; /* the meeting is over: the sleeper has returned */
}

KRACE(sleeper, .Rule = "a sleeper is woken, whenever the waker comes", .Prepare = PrepareSleeper,
      .Run = {SleepInOneStep, WakeSleeper}, .Holds = IsAwake);
KRACE_BROKEN(look_then_sleep, .Rule = "a sleeper is woken, whenever the waker comes", .Prepare = PrepareSleeper,
             .Run = {SleepInTwoSteps, WakeSleeper}, .Holds = IsAwake);

/* ---- Rundown with a count for each CPU: two users, who came in on different CPUs, leave on one ---- */

static PEX_RUNDOWN_REF_CACHE_AWARE Rundown;
static UCHAR RundownMemory[512];

static VOID EnterOn(ULONG Processor) {
    KtPin(Processor);
    KT_EXPECT(ExAcquireRundownProtectionCacheAware(Rundown));
    KtUnpin();
}

static VOID PrepareRundown(VOID) {
    Rundown = (PEX_RUNDOWN_REF_CACHE_AWARE)RundownMemory;
    ExInitializeRundownProtectionCacheAware(Rundown, ExSizeOfRundownProtectionCacheAware());
    EnterOn(0);
    EnterOn(1);
    IsGone = FALSE;
    Wrong = 0;
}

static VOID LeaveTwice(VOID) {
    ExReleaseRundownProtectionCacheAware(Rundown);
    Linger();
    Wrong |= IsGone;
    ExReleaseRundownProtectionCacheAware(Rundown);
}

static VOID TearDown(VOID) {
    ExWaitForRundownProtectionReleaseCacheAware(Rundown);
    IsGone = TRUE;
}

KRACE(rundown, .Rule = "rundown waits for the last user, wherever each came in", .Prepare = PrepareRundown,
      .Run = {LeaveTwice, TearDown}, .Holds = NothingWrong);

/* ---- A handle, looked up and closed ---- */

static HANDLE Handle;

static VOID PrepareHandle(VOID) {
    OBJECT_ATTRIBUTES Attributes;
    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    KT_EXPECT_EQ(ZwCreateEvent(&Handle, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE), STATUS_SUCCESS);
    Wrong = 0;
}

static VOID UseHandle(VOID) {
    PVOID Object;
    if (ObReferenceObjectByHandle(Handle, 0, NULL, KernelMode, &Object, NULL) == STATUS_SUCCESS) {
        KeSetEvent(Object, IO_NO_INCREMENT, FALSE);
        ObDereferenceObject(Object);
    }
}

static VOID CloseHandle(VOID) {
    Wrong |= ZwClose(Handle) != STATUS_SUCCESS;
}

KRACE(handle, .Rule = "a handle that is found keeps its object", .Prepare = PrepareHandle,
      .Run = {UseHandle, CloseHandle}, .Holds = NothingWrong);

/* ---- A pointer under a spin lock, and the block behind it ---- */

#define ALIVE 0xA11FE
static KSPIN_LOCK TableLock;
static struct _THING {
    volatile LONG References;
    volatile ULONG State;
} *volatile Table, Thing;

static VOID PrepareTable(VOID) {
    Thing.References = 1;
    Thing.State = ALIVE;
    Table = &Thing;
    Wrong = 0;
}

static VOID Unreference(struct _THING *Found) {
    if (InterlockedDecrement(&Found->References) == 0) {
        Found->State = 0; /* freed */
    }
}

/* The reference is taken when the table is unlocked again. */
static VOID FindThenReference(VOID) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&TableLock, &OldIrql);
    struct _THING *Found = Table;
    KeReleaseSpinLock(&TableLock, OldIrql);
    if (Found != NULL) {
        InterlockedIncrement(&Found->References);
        Wrong |= Found->State != ALIVE;
        Unreference(Found);
    }
}

static VOID RemoveFromTable(VOID) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&TableLock, &OldIrql);
    struct _THING *Found = Table;
    Table = NULL;
    KeReleaseSpinLock(&TableLock, OldIrql);
    Unreference(Found);
}

KRACE_BROKEN(find_then_reference, .Rule = "a block that is found is not freed", .Prepare = PrepareTable,
             .Run = {FindThenReference, RemoveFromTable}, .Holds = NothingWrong);

/* ---- A page, written to and trimmed ---- */

static volatile ULONG64 *Page;

/* Clean, with an old copy in the page file. */
static VOID PreparePage(VOID) {
    if (Page == NULL) {
        Page = ExAllocatePoolWithTag(PagedPool, PAGE_SIZE, TAG);
    }
    *Page = 1;
    PageOut((PVOID)Page, 1);
    Wrong = *Page != 1;
}

static VOID WriteToPage(VOID) {
    *Page = 2;
}

static VOID TrimPage(VOID) {
    MmTrimRange((PVOID)Page, PAGE_SIZE);
}

static BOOLEAN PageIsWritten(VOID) {
    PageOut((PVOID)Page, 1);
    return *Page == 2 && Wrong == 0;
}

KRACE(trim, .Rule = "a write to a page that is being trimmed is not lost", .Prepare = PreparePage,
      .Run = {WriteToPage, TrimPage}, .Holds = PageIsWritten);

/* everything.c: one of everything that waits or is queued, then the end, so that a debugger has something to show.
 *
 *      Holder          owns the KMUTEX (twice), the fast mutex, the guarded mutex, the push lock and a resource
 *      Wants...        one thread for each of these; two for the push lock and the resource
 *      ReaderOne, Two  share a second resource, which WantsShared wants for itself
 *      AnyOf, AllOf    wait for several objects
 *      CPU 0           holds a spin lock and a queued lock, has DPCs and a timer queued, and stops the machine
 *      CPU 1           wants that spin lock
 *      CPU 2, then 3   want the queued lock; CPU 2 holds a spin lock of its own, CPU 3 is at SYNCH_LEVEL
 *      NeverRuns       is ready for CPU 3
 *
 * What is where is printed as "kd: NAME ADDRESS", which is what a test compares with. Four CPUs. */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

#define QUEUED_LOCK LockQueueBcbLock
#define SECONDS(N) (-(N)*10000000LL)
#define SYNCH 12
#define SETTLE -1000000 /* 100 ms: what a thread needs at most to get from its last word to its wait */
#define STALL 50000     /* microseconds: until the other CPUs have seen it and wait */
#define ALL_WAITERS 15

static KMUTEX Mutex;
static FAST_MUTEX FastMutex;
static KGUARDED_MUTEX GuardedMutex;
static EX_PUSH_LOCK PushLock;
static ERESOURCE Resource, SharedResource, FreeResource;
static KEVENT Never, Other;
static KSEMAPHORE Semaphore;
static KTIMER Timer, WaitedTimer;
static KDPC TimerDpc, LowDpc, LateDpc, FarDpc;
static KSPIN_LOCK FirstLock, SecondLock;
static PKTHREAD HolderThread;
static volatile LONG Holding, Readers, Arrived, Occupied, Go;

static VOID Tell(PCSTR Name, PVOID Address) {
    DbgPrint("kd: %s %p\n", Name, Address);
}

/* The current thread is about to wait. */
static VOID Arrive(PCSTR Name) {
    Tell(Name, KeGetCurrentThread());
    InterlockedIncrement(&Arrived);
}

static VOID WaitFor(PVOID Object) {
    KeWaitForSingleObject(Object, Executive, KernelMode, FALSE, NULL);
}

static VOID Sleep(LONGLONG Interval) {
    LARGE_INTEGER Time = {.QuadPart = Interval};
    KeDelayExecutionThread(KernelMode, FALSE, &Time);
}

/* ---- Threads that wait ---- */

static VOID Holder(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    HolderThread = KeGetCurrentThread();
    KeEnterCriticalRegion();
    WaitFor(&Mutex);
    WaitFor(&Mutex);
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    ExAcquirePushLockExclusive(&PushLock);
    ExAcquireFastMutex(&FastMutex);
    KeAcquireGuardedMutex(&GuardedMutex);
    InterlockedIncrement(&Holding);
    Arrive("Holder");
    WaitFor(&Never);
}

static VOID WantsMutex(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    Arrive("WantsMutex");
    WaitFor(&Mutex);
}

static VOID WantsFastMutex(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    Arrive("WantsFastMutex");
    ExAcquireFastMutex(&FastMutex);
}

static VOID WantsGuardedMutex(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    Arrive("WantsGuardedMutex");
    KeAcquireGuardedMutex(&GuardedMutex);
}

static VOID WantsPushLock(PVOID Context) {
    KeEnterCriticalRegion();
    Arrive(Context ? "WantsPushShared" : "WantsPushExclusive");
    if (Context) {
        ExAcquirePushLockShared(&PushLock);
    } else {
        ExAcquirePushLockExclusive(&PushLock);
    }
}

static VOID WantsResource(PVOID Context) {
    KeEnterCriticalRegion();
    Arrive(Context ? "WantsResourceShared" : "WantsResourceExclusive");
    if (Context) {
        ExAcquireResourceSharedLite(&Resource, TRUE);
    } else {
        ExAcquireResourceExclusiveLite(&Resource, TRUE);
    }
}

static VOID Reader(PVOID Context) {
    KeEnterCriticalRegion();
    ExAcquireResourceSharedLite(&SharedResource, TRUE);
    if (Context) {
        ExAcquireResourceSharedLite(&SharedResource, TRUE);
    }
    InterlockedIncrement(&Readers);
    Arrive(Context ? "ReaderTwo" : "ReaderOne");
    WaitFor(&Never);
}

static VOID WantsShared(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeEnterCriticalRegion();
    Arrive("WantsShared");
    ExAcquireResourceExclusiveLite(&SharedResource, TRUE);
}

static VOID AnyOf(PVOID Context) {
    PVOID Objects[] = {&Other, &Semaphore};
    LARGE_INTEGER Timeout = {.QuadPart = SECONDS(1000)};
    UNREFERENCED_PARAMETER(Context);
    Arrive("AnyOf");
    KeWaitForMultipleObjects(2, Objects, WaitAny, UserRequest, KernelMode, TRUE, &Timeout, NULL);
}

static VOID AllOf(PVOID Context) {
    PVOID Objects[] = {&Other, &WaitedTimer};
    UNREFERENCED_PARAMETER(Context);
    Arrive("AllOf");
    KeWaitForMultipleObjects(2, Objects, WaitAll, Executive, KernelMode, FALSE, NULL, NULL);
}

static VOID WantsEnd(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    Arrive("WantsEnd");
    WaitFor(HolderThread);
}

static VOID Sleeper(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    Arrive("Sleeper");
    Sleep(SECONDS(500));
}

/* ---- What each CPU does ---- */

static VOID GoTo(ULONG Number) {
    KeSetSystemAffinityThread((KAFFINITY)1 << Number);
}

static VOID UntilGo(LONG Wanted) {
    while (Go < Wanted) {
        YieldProcessor();
    }
}

static VOID CpuOne(PVOID Context) {
    KIRQL Irql;
    UNREFERENCED_PARAMETER(Context);
    GoTo(1);
    Tell("CpuOne", KeGetCurrentThread());
    InterlockedIncrement(&Occupied);
    UntilGo(1);
    KeAcquireSpinLock(&FirstLock, &Irql);
}

static VOID CpuTwo(PVOID Context) {
    KIRQL Irql;
    UNREFERENCED_PARAMETER(Context);
    GoTo(2);
    Tell("CpuTwo", KeGetCurrentThread());
    InterlockedIncrement(&Occupied);
    KeAcquireSpinLock(&SecondLock, &Irql);
    UntilGo(1);
    KeAcquireQueuedSpinLock(QUEUED_LOCK);
}

static VOID CpuThree(PVOID Context) {
    KIRQL Irql;
    UNREFERENCED_PARAMETER(Context);
    GoTo(3);
    Tell("CpuThree", KeGetCurrentThread());
    InterlockedIncrement(&Occupied);
    KeRaiseIrql(SYNCH, &Irql);
    UntilGo(2);
    KeAcquireQueuedSpinLockRaiseToSynch(QUEUED_LOCK);
}

static VOID NeverRuns(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    Arrive("NeverRuns");
    GoTo(3);
}

static VOID Late(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
}

/* ---- The order of it all ---- */

static VOID Start(PKSTART_ROUTINE Routine, PVOID Context) {
    HANDLE Handle;
    if (NT_SUCCESS(PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Routine, Context))) {
        ZwClose(Handle);
    }
}

static VOID Until(volatile LONG *Count, LONG Wanted) {
    while (*Count < Wanted) {
        Sleep(-10000);
    }
}

/* A lock's words tell when a thread waits for it, an object's list too. */
static VOID UntilTheyWait(VOID) {
    while (IsListEmpty(&Mutex.Header.WaitListHead) || FastMutex.Count < 4 || GuardedMutex.Count < 4 ||
           Resource.NumberOfExclusiveWaiters == 0 || Resource.NumberOfSharedWaiters == 0 ||
           SharedResource.NumberOfExclusiveWaiters == 0 || IsListEmpty(&Semaphore.Header.WaitListHead) ||
           IsListEmpty(&WaitedTimer.Header.WaitListHead) ||
           IsListEmpty(&((DISPATCHER_HEADER *)HolderThread)->WaitListHead)) {
        Sleep(-10000);
    }
    Sleep(SETTLE); /* a push lock's waiter spins for some time before it sleeps, which nothing shows */
}

static VOID Prepare(VOID) {
    LARGE_INTEGER Due = {.QuadPart = SECONDS(100)};
    KeInitializeMutex(&Mutex, 0);
    ExInitializeFastMutex(&FastMutex);
    KeInitializeGuardedMutex(&GuardedMutex);
    ExInitializePushLock(&PushLock);
    ExInitializeResourceLite(&Resource);
    ExInitializeResourceLite(&SharedResource);
    ExInitializeResourceLite(&FreeResource);
    KeInitializeEvent(&Never, SynchronizationEvent, FALSE);
    KeInitializeEvent(&Other, NotificationEvent, FALSE);
    KeInitializeSemaphore(&Semaphore, 0, 7);
    KeInitializeSpinLock(&FirstLock);
    KeInitializeSpinLock(&SecondLock);
    KeInitializeDpc(&TimerDpc, Late, NULL);
    KeInitializeDpc(&LowDpc, Late, &LowDpc);
    KeInitializeThreadedDpc(&LateDpc, Late, NULL);
    KeInitializeDpc(&FarDpc, Late, NULL);
    KeSetTargetProcessorDpc(&FarDpc, 1);
    KeSetImportanceDpc(&LowDpc, LowImportance);
    KeInitializeTimerEx(&WaitedTimer, SynchronizationTimer);
    KeInitializeTimer(&Timer);
    KeSetTimerEx(&Timer, Due, 5000, &TimerDpc);
    KeSetTimer(&WaitedTimer, Due, NULL);
}

static VOID TellObjects(VOID) {
    Tell("Mutex", &Mutex);
    Tell("FastMutex", &FastMutex);
    Tell("GuardedMutex", &GuardedMutex);
    Tell("PushLock", (PVOID)&PushLock);
    Tell("Resource", &Resource);
    Tell("SharedResource", &SharedResource);
    Tell("FreeResource", &FreeResource);
    Tell("Never", &Never);
    Tell("Other", &Other);
    Tell("Semaphore", &Semaphore);
    Tell("Timer", &Timer);
    Tell("WaitedTimer", &WaitedTimer);
    Tell("TimerDpc", &TimerDpc);
    Tell("LowDpc", &LowDpc);
    Tell("LateDpc", &LateDpc);
    Tell("FarDpc", &FarDpc);
    Tell("FirstLock", &FirstLock);
    Tell("SecondLock", &SecondLock);
}

static VOID StartWaiters(VOID) {
    Start(Holder, NULL);
    Start(Reader, NULL);
    Start(Reader, (PVOID)&Readers);
    Until(&Holding, 1);
    Until(&Readers, 2);
    Start(WantsMutex, NULL);
    Start(WantsFastMutex, NULL);
    Start(WantsGuardedMutex, NULL);
    Start(WantsPushLock, NULL);
    Start(WantsPushLock, &PushLock);
    Start(WantsResource, NULL);
    Start(WantsResource, &Resource);
    Start(WantsShared, NULL);
    Start(AnyOf, NULL);
    Start(AllOf, NULL);
    Start(WantsEnd, NULL);
    Start(Sleeper, NULL);
    Until(&Arrived, ALL_WAITERS);
    UntilTheyWait();
}

static VOID OccupyProcessors(VOID) {
    GoTo(0);
    Start(CpuOne, NULL);
    Start(CpuTwo, NULL);
    Start(CpuThree, NULL);
    Until(&Occupied, 3);
    Start(NeverRuns, NULL);
    Until(&Arrived, ALL_WAITERS + 1);
    Sleep(SETTLE); /* it must have lost its CPU to get to the other */
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    KIRQL Irql;
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    Prepare();
    TellObjects();
    StartWaiters();
    OccupyProcessors();
    Tell("CpuZero", KeGetCurrentThread());
    KeAcquireSpinLock(&FirstLock, &Irql);
    KeAcquireQueuedSpinLock(QUEUED_LOCK);
    Go = 1;
    KeStallExecutionProcessor(STALL);
    Go = 2;
    KeStallExecutionProcessor(STALL);
    KeInsertQueueDpc(&LowDpc, NULL, NULL);
    KeInsertQueueDpc(&LateDpc, NULL, NULL);
    KeInsertQueueDpc(&FarDpc, NULL, NULL);
    KeBugCheckEx(MANUALLY_INITIATED_CRASH, (ULONG_PTR)HolderThread, (ULONG_PTR)&Mutex, (ULONG_PTR)&Resource,
                 (ULONG_PTR)&PushLock);
}

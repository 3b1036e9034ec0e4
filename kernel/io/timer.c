/* timer.c: device timers: one clock for all, which calls each started routine once a second. */
#include "iop.h"

#define PERIOD_MS 1000
#define FIRST_TICK (-10000000LL)

typedef struct _IO_TIMER {
    LIST_ENTRY ListEntry;
    BOOLEAN IsStarted;
    PIO_TIMER_ROUTINE Routine;
    PVOID Context;
    PDEVICE_OBJECT Device;
} IO_TIMER, *PIO_TIMER;

KE_DECLARE_LOCK(IopTimerLock, RANK_IO, "the timers of devices");
static LIST_ENTRY Timers = {&Timers, &Timers};
static ULONG StartedTimers;
static KTIMER SecondTimer;
static KDPC SecondDpc;
static BOOLEAN IsInitialized;
static PIO_TIMER volatile CalledTimer; /* its routine runs now, without the lock */

/* The next started timer after Position, in list order. Lock held. */
static PIO_TIMER NextStarted(PLIST_ENTRY Position) {
    for (PLIST_ENTRY Entry = Position->Flink; Entry != &Timers; Entry = Entry->Flink) {
        PIO_TIMER Timer = CONTAINING_RECORD(Entry, IO_TIMER, ListEntry);
        if (Timer->IsStarted) {
            return Timer;
        }
    }
    return NULL;
}

/* Once a second. While a routine runs its timer stays in the list: IopStopDeviceTimer waits. */
static VOID CallTimers(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeAcquireSpinLockAtDpcLevel(&IopTimerLock);
    PIO_TIMER Timer = NextStarted(&Timers);
    while (Timer != NULL) {
        CalledTimer = Timer;
        KeReleaseSpinLockFromDpcLevel(&IopTimerLock);
        Timer->Routine(Timer->Device, Timer->Context);
        KeAcquireSpinLockAtDpcLevel(&IopTimerLock);
        CalledTimer = NULL;
        Timer = NextStarted(&Timer->ListEntry);
    }
    KeReleaseSpinLockFromDpcLevel(&IopTimerLock);
}

/* Once for each device; stopped. <= APC_LEVEL. STATUS_INSUFFICIENT_RESOURCES. ntddk.h: IoInitializeTimer. */
NTSTATUS IoInitializeTimer(PDEVICE_OBJECT DeviceObject, PIO_TIMER_ROUTINE TimerRoutine, PVOID Context) {
    PIO_TIMER Timer = DeviceObject->Timer;
    if (Timer == NULL) {
        Timer = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Timer), TAG_IO);
        if (Timer == NULL) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        *Timer = (IO_TIMER){.Routine = TimerRoutine, .Context = Context, .Device = DeviceObject};
        KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopTimerLock);
        if (!IsInitialized) {
            IsInitialized = TRUE;
            KeInitializeTimer(&SecondTimer);
            KeInitializeDpc(&SecondDpc, CallTimers, NULL);
        }
        InsertTailList(&Timers, &Timer->ListEntry);
        KeReleaseSpinLock(&IopTimerLock, OldIrql);
        DeviceObject->Timer = Timer;
        return STATUS_SUCCESS;
    }
    Timer->Routine = TimerRoutine;
    Timer->Context = Context;
    return STATUS_SUCCESS;
}

static VOID SetStarted(PIO_TIMER Timer, BOOLEAN IsStarted) {
    LARGE_INTEGER Due = {.QuadPart = FIRST_TICK};
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopTimerLock);
    if (Timer->IsStarted != IsStarted) {
        Timer->IsStarted = IsStarted;
        StartedTimers += IsStarted ? 1 : -1u;
        if (IsStarted && StartedTimers == 1) {
            KeSetTimerEx(&SecondTimer, Due, PERIOD_MS, &SecondDpc);
        } else if (StartedTimers == 0) {
            KeCancelTimer(&SecondTimer);
        }
    }
    KeReleaseSpinLock(&IopTimerLock, OldIrql);
}

/* <= DISPATCH_LEVEL. ntddk.h: IoStartTimer. */
VOID IoStartTimer(PDEVICE_OBJECT DeviceObject) {
    if (!IopGetDeviceExtension(DeviceObject)->IsDeletePending) {
        SetStarted(DeviceObject->Timer, TRUE);
    }
}

/* <= DISPATCH_LEVEL; a routine that runs at this moment may still be running on return. ntddk.h: IoStopTimer. */
VOID IoStopTimer(PDEVICE_OBJECT DeviceObject) {
    SetStarted(DeviceObject->Timer, FALSE);
}

/* <= APC_LEVEL; waits for a routine that runs. */
static VOID FreeTimer(PDEVICE_OBJECT Device) {
    PIO_TIMER Timer = Device->Timer;
    if (Timer == NULL) {
        return;
    }
    SetStarted(Timer, FALSE);
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopTimerLock);
    while (CalledTimer == Timer) {
        KeReleaseSpinLock(&IopTimerLock, OldIrql);
        YieldProcessor();
        OldIrql = KeAcquireSpinLockRaiseToDpc(&IopTimerLock);
    }
    RemoveEntryList(&Timer->ListEntry);
    KeReleaseSpinLock(&IopTimerLock, OldIrql);
    Device->Timer = NULL;
    ExFreePoolWithTag(Timer, TAG_IO);
}

static VOID WatchObject(PVOID Object, IOP_OBJECT_EVENT Event) {
    if (Event == DeviceDeleted) {
        FreeTimer(Object);
    }
}
IOP_OBJECT_WATCH(WatchObject);

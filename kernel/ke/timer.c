/* timer.c: timers: one list in order of due time, checked by the clock, drained by a DPC.
 *
 * The clock interrupt runs at CLOCK_LEVEL, where the dispatcher lock (scheduler.c) must not be taken. So it compares the
 * time with one word, KiNextTimerDue, and queues KiTimerExpireDpc when that has passed; everything else happens in the DPC, at
 * DISPATCH_LEVEL. Due times are interrupt times (100 ns since the start), counted in steps of a clock tick. */
#include "ki.h"

#define NEVER (~0ULL)
#define UNITS_PER_MS 10000

static KDEFERRED_ROUTINE ExpireTimers;

volatile ULONG64 KiNextTimerDue = NEVER;
KDPC KiTimerExpireDpc = {.Type = DpcObject, .Importance = HighImportance, .DeferredRoutine = ExpireTimers};

volatile USHORT KiTimerPages[KI_TIMER_PAGES]; /* written under the dispatcher lock */

/* Guarded by the dispatcher lock. */
LIST_ENTRY KiTimerList = {&KiTimerList, &KiTimerList};
VOID (*KeTimerCheckHook)(PVOID Start, SIZE_T Bytes); /* timercheck.c */

/* The clock reads the word on another CPU: it sees the old value or the new one, and looks again at the next tick. */
static VOID PublishNextDue(VOID) {
    ULONG64 Due = NEVER;
    if (!IsListEmpty(&KiTimerList)) {
        Due = CONTAINING_RECORD(KiTimerList.Flink, KTIMER, TimerListEntry)->DueTime.QuadPart;
    }
    __atomic_store_n(&KiNextTimerDue, Due, __ATOMIC_RELAXED);
}

/* A time-out as callers write it as an interrupt time: negative is relative, else it is an absolute system time. */
ULONG64 KiDueTime(LONGLONG Timeout) {
    if (Timeout <= 0) {
        return KiInterruptTime + (0 - (ULONG64)Timeout);
    }
    return (ULONG64)Timeout > KiBootTime ? (ULONG64)Timeout - KiBootTime : 0;
}

/* A timer's pages are remembered by hash, so that a free of pool need not search the list. */
static VOID CountPages(const KTIMER *Timer, int Change) {
    KiTimerPages[(ULONG64)Timer / PAGE_SIZE % KI_TIMER_PAGES] += Change;
    if (Timer->Dpc != NULL) {
        KiTimerPages[(ULONG64)Timer->Dpc / PAGE_SIZE % KI_TIMER_PAGES] += Change;
    }
}

/* The timer is not inserted. It becomes not signalled. Timers that are due at the same time expire in the order of
 * insertion; the search goes from the end, where the latest are. */
VOID KiInsertTimer(PKTIMER Timer, ULONG64 DueTime) {
    PLIST_ENTRY Before = KiTimerList.Blink;
    while (Before != &KiTimerList && CONTAINING_RECORD(Before, KTIMER, TimerListEntry)->DueTime.QuadPart > DueTime) {
        Before = Before->Blink;
    }
    Timer->Header.Inserted = TRUE;
    Timer->Header.SignalState = 0;
    Timer->DueTime.QuadPart = DueTime;
    InsertHeadList(Before, &Timer->TimerListEntry);
    CountPages(Timer, 1);
    PublishNextDue();
}

/* The timer is inserted. */
VOID KiRemoveTimer(PKTIMER Timer) {
    RemoveEntryList(&Timer->TimerListEntry);
    CountPages(Timer, -1);
    Timer->Header.Inserted = FALSE;
    PublishNextDue();
}

/* The timer's time has come and it is not inserted: first the waiters, then the next period, then the DPC, because the
 * waiters may run as soon as the lock is released, and the DPC's routine may set the timer anew. */
static VOID FireTimer(PKTIMER Timer) {
    ULONG64 Now = KiInterruptTime;
    Timer->Header.SignalState = 1;
    KiSignalWaiters(&Timer->Header, IO_NO_INCREMENT);
    if (Timer->Period != 0) {
        LONG State = Timer->Header.SignalState; /* a periodic timer stays signalled from its first expiry */
        ULONG64 Period = (ULONG64)Timer->Period * UNITS_PER_MS, Due = Timer->DueTime.QuadPart + Period;
        KiInsertTimer(Timer, Due > Now ? Due : Now + Period);
        Timer->Header.SignalState = State;
    }
    if (Timer->Dpc != NULL) {
        KiInsertTimerDpc(Timer->Dpc, KiBootTime + Now);
    }
}

/* KiTimerExpireDpc, queued by the clock. */
static VOID ExpireTimers(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KIRQL OldIrql = KiLockDispatcher();
    while (!IsListEmpty(&KiTimerList)) {
        PKTIMER Timer = CONTAINING_RECORD(KiTimerList.Flink, KTIMER, TimerListEntry);
        if (Timer->DueTime.QuadPart > KiInterruptTime) {
            break;
        }
        KiRemoveTimer(Timer);
        FireTimer(Timer);
    }
    KiUnlockDispatcher(OldIrql);
}

/* Any IRQL; the timer lies in resident memory. */
VOID KeInitializeTimerEx(PKTIMER Timer, TIMER_TYPE Type) {
    *Timer =
        (KTIMER){.Header = {.Type = Type == NotificationTimer ? TimerNotificationObject : TimerSynchronizationObject,
                            .Size = sizeof(KTIMER) / sizeof(ULONG)}};
    InitializeListHead(&Timer->Header.WaitListHead);
}

VOID KeInitializeTimer(PKTIMER Timer) {
    KeInitializeTimerEx(Timer, NotificationTimer);
}

/* <= DISPATCH_LEVEL. TRUE: the timer was set already, and has been set anew. A due time that has passed fires at once.
 * Dpc may be NULL; PeriodMs 0: once. wdm.h: KeSetTimerEx. */
BOOLEAN KeSetTimerEx(PKTIMER Timer, LARGE_INTEGER DueTime, LONG PeriodMs, PKDPC Dpc) {
    KIRQL OldIrql = KiLockDispatcher();
    BOOLEAN WasInserted = Timer->Header.Inserted;
    if (WasInserted) {
        KiRemoveTimer(Timer);
    }
    Timer->Dpc = Dpc;
    Timer->Period = (ULONG)PeriodMs;
    ULONG64 Due = KiDueTime(DueTime.QuadPart);
    if (Due <= KiInterruptTime) {
        Timer->DueTime.QuadPart = Due;
        FireTimer(Timer);
    } else {
        KiInsertTimer(Timer, Due);
    }
    KiUnlockDispatcher(OldIrql);
    return WasInserted;
}

BOOLEAN KeSetTimer(PKTIMER Timer, LARGE_INTEGER DueTime, PKDPC Dpc) {
    return KeSetTimerEx(Timer, DueTime, 0, Dpc);
}

/* <= DISPATCH_LEVEL. TRUE: it was set, and will not expire. Its DPC may be queued or running when FALSE.
 * wdm.h: KeCancelTimer. */
BOOLEAN KeCancelTimer(PKTIMER Timer) {
    KIRQL OldIrql = KiLockDispatcher();
    BOOLEAN WasInserted = Timer->Header.Inserted;
    if (WasInserted) {
        KiRemoveTimer(Timer);
    }
    Timer->Period = 0;
    KiUnlockDispatcher(OldIrql);
    return WasInserted;
}

/* Any IRQL; a snapshot. */
BOOLEAN KeReadStateTimer(PKTIMER Timer) {
    return Timer->Header.SignalState != 0;
}

/* timercheck.c: set timers in memory that is about to go: the check behind 0xC7. */
#include "ki.h"
#include <ring.h>

static BOOLEAN IsInRange(const VOID *Address, ULONG64 Start, ULONG64 End) {
    return (ULONG64)Address >= Start && (ULONG64)Address < End;
}

/* The first timer that lies in the range, or whose DPC or routine does; NULL: none. <= DISPATCH_LEVEL. */
static PKTIMER FindTimerInRange(ULONG64 Start, ULONG64 End) {
    PKTIMER Found = NULL;
    KIRQL OldIrql = KiLockDispatcher();
    for (PLIST_ENTRY Entry = KiTimerList.Flink; Entry != &KiTimerList && Found == NULL; Entry = Entry->Flink) {
        PKTIMER Timer = CONTAINING_RECORD(Entry, KTIMER, TimerListEntry);
        if (IsInRange(Timer, Start, End) || IsInRange(Timer->Dpc, Start, End) ||
            (Timer->Dpc != NULL && IsInRange(Timer->Dpc->DeferredRoutine, Start, End))) {
            Found = Timer;
        }
    }
    KiUnlockDispatcher(OldIrql);
    return Found;
}

/* The memory goes: 0xC7 if a set timer lies in it (0), its DPC (1), or the DPC's routine (2). */
static VOID CheckForTimer(PVOID Start, SIZE_T Bytes) {
    ULONG64 First = (ULONG64)Start, End = First + Bytes;
    PKTIMER Timer = FindTimerInRange(First, End);
    if (Timer == NULL) {
        return;
    }
    PKDPC Dpc = Timer->Dpc;
    if (IsInRange(Timer, First, End)) {
        KeBugCheckEx(TIMER_OR_DPC_INVALID, 0, (ULONG_PTR)Timer, First, End);
    }
    if (IsInRange(Dpc, First, End)) {
        KeBugCheckEx(TIMER_OR_DPC_INVALID, 1, (ULONG_PTR)Dpc, First, End);
    }
    KeBugCheckEx(TIMER_OR_DPC_INVALID, 2, (ULONG_PTR)Dpc->DeferredRoutine, First, End);
}
KE_ATTACH(KeTimerCheckHook, CheckForTimer);

/* As KeSetTimerEx. The timer may be late by up to TolerableDelayMs, so that several can expire together; here it never
 * is, for all of them wait for the same ticks of the clock anyway. wdm.h: KeSetCoalescableTimer. */
BOOLEAN KeSetCoalescableTimer(PKTIMER Timer, LARGE_INTEGER DueTime, ULONG PeriodMs, ULONG TolerableDelayMs, PKDPC Dpc) {
    UNREFERENCED_PARAMETER(TolerableDelayMs);
    return KeSetTimerEx(Timer, DueTime, (LONG)PeriodMs, Dpc);
}

/* test_trace.c: the event trace: a ring keeps the last events whole, even with interrupts in between. */
#include "ktest.h"

#include <trace.h>

#define MARK 0x7E57000000000000ULL
#define MARK_MASK 0xFFFF000000000000ULL

static ULONG64 RingEvents(const KPRCB *Prcb) {
    return ((ULONG64)Prcb->TraceMask + 1) >> KTRACE_SHIFT;
}

/* Of this CPU, from its event number First on: the first with this A; NULL. */
static const KTRACE_EVENT *FindEvent(ULONG64 First, ULONG64 A) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    for (ULONG64 Index = First; Index < Prcb->TraceCount; Index++) {
        const KTRACE_EVENT *Event = KdFindTraceEvent(Prcb, Index);
        if (Event != NULL && Event->A == A) {
            return Event;
        }
    }
    return NULL;
}

KTEST(trace_an_event_says_what_happened_and_when) {
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    ULONG64 First = KeGetCurrentPrcb()->TraceCount, Before = __rdtsc();
    KdTrace(TraceIpi, 0x123456, MARK, 0x2222, 0xFFFFFFFF80001234);
    ULONG64 After = __rdtsc();
    const KTRACE_EVENT *Found = FindEvent(First, MARK);
    KTRACE_EVENT Event = Found != NULL ? *Found : (KTRACE_EVENT){0};
    KeLowerIrql(OldIrql);
    KT_EXPECT_EQ(Event.Kind, TraceIpi);
    KT_EXPECT_EQ(Event.Detail, 0x123456);
    KT_EXPECT_EQ(Event.B, 0x2222);
    KT_EXPECT_EQ(Event.Caller, 0x80001234);
    KT_EXPECT(Event.Tsc > Before && Event.Tsc < After);
}

KTEST(trace_a_full_ring_forgets_the_oldest_event) {
    KIRQL OldIrql = KfRaiseIrql(HIGH_LEVEL); /* no interrupt adds one */
    PKPRCB Prcb = KeGetCurrentPrcb();
    ULONG64 Size = RingEvents(Prcb), Start = Prcb->TraceCount;
    for (ULONG64 i = 0; i < Size; i++) {
        KdTrace(TraceIpi, 0, MARK + i, 0, 0);
    }
    ULONG64 Count = Prcb->TraceCount;
    const KTRACE_EVENT *Oldest = KdFindTraceEvent(Prcb, Start), *Newest = KdFindTraceEvent(Prcb, Count - 1);
    ULONG64 OldestA = Oldest ? Oldest->A : 0, NewestA = Newest ? Newest->A : 0;
    BOOLEAN HasForgotten = KdFindTraceEvent(Prcb, Start - 1) == NULL, HasFuture = KdFindTraceEvent(Prcb, Count) != NULL;
    KdTrace(TraceIpi, 0, MARK + Size, 0, 0);
    BOOLEAN HasForgottenOneMore = KdFindTraceEvent(Prcb, Start) == NULL;
    KeLowerIrql(OldIrql);
    KT_EXPECT_EQ(Count - Start, Size);
    KT_EXPECT_EQ(OldestA, MARK);
    KT_EXPECT_EQ(NewestA, MARK + Size - 1);
    KT_EXPECT(HasForgotten && !HasFuture && HasForgottenOneMore);
}

/* A place that was taken and is not yet filled: its time is from before the whole ring. */
KTEST(trace_an_event_that_is_not_whole_is_not_found) {
    KIRQL OldIrql = KfRaiseIrql(HIGH_LEVEL);
    PKPRCB Prcb = KeGetCurrentPrcb();
    ULONG64 Index;
    for (ULONG64 i = 0; i < RingEvents(Prcb); i++) {
        KdTrace(TraceIpi, 0, MARK + i, 0, 0);
    }
    PKTRACE_EVENT Event = KdBeginTrace();
    KdFillTrace(Event, TraceIpi, 0, MARK, 0);
    Index = Prcb->TraceCount - 1;
    BOOLEAN WasFound = KdFindTraceEvent(Prcb, Index) != NULL;
    KdEndTrace(Event);
    BOOLEAN IsFound = KdFindTraceEvent(Prcb, Index) == Event;
    KeLowerIrql(OldIrql);
    KT_EXPECT(!WasFound);
    KT_EXPECT(IsFound);
}

/* The checked build's notes of two locks and a change of IRQL; the free build has none. */
KTEST_ALONE(trace_the_checked_build_notes_locks_and_irql) {
    static const KTRACE_KIND Noted[] = {TraceRaise, TraceAcquire, TraceRelease, TraceAcquire, TraceRelease, TraceLower};
    KTRACE_EVENT Found[RTL_NUMBER_OF(Noted)] = {0};
    KSPIN_LOCK Plain = 0, Queued = 0;
    KLOCK_QUEUE_HANDLE Handle;
    PKPRCB Prcb = KeGetCurrentPrcb();
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    KIRQL Middle = KfRaiseIrql(SYNCH_LEVEL);
    KfRaiseIrql(HIGH_LEVEL); /* no interrupt adds an event */
    ULONG64 First = Prcb->TraceCount - 1;
    KeAcquireSpinLockAtDpcLevel(&Plain);
    KeReleaseSpinLockFromDpcLevel(&Plain);
    KeAcquireInStackQueuedSpinLockAtDpcLevel(&Queued, &Handle);
    KeReleaseInStackQueuedSpinLockFromDpcLevel(&Handle);
    ULONG64 Count = Prcb->TraceCount - First - 1;
    KeLowerIrql(Middle);
    for (ULONG i = 0; DBG && i < RTL_NUMBER_OF(Noted); i++) {
        const KTRACE_EVENT *Event = KdFindTraceEvent(Prcb, First + i);
        Found[i] = Event != NULL ? *Event : Found[i];
    }
    KeLowerIrql(OldIrql);
    KT_EXPECT_EQ(Count, DBG ? 4 : 0); /* between the raise and the lowering */
    for (ULONG i = 0; DBG && i < RTL_NUMBER_OF(Noted); i++) {
        KT_EXPECT_EQ(Found[i].Kind, Noted[i]);
        KT_EXPECT(Found[i].Caller - (ULONG)(ULONG64)trace_the_checked_build_notes_locks_and_irql < 0x800);
    }
    KT_EXPECT_EQ(Found[1].A, DBG ? (ULONG64)&Plain : 0);
    KT_EXPECT_EQ(Found[3].A, DBG ? (ULONG64)&Queued : 0);
}

static ULONG_PTR DoNothing(ULONG_PTR Context) {
    return Context;
}

/* Every CPU, below and at DISPATCH_LEVEL, while the others interrupt it. */
static VOID WriteEvents(ULONG Processor, PVOID Context) {
    ULONG Rounds = *(const ULONG *)Context;
    UNREFERENCED_PARAMETER(Processor);
    for (ULONG Round = 0; Round < Rounds; Round++) {
        ULONG64 A = MARK | (ULONG64)KeGetCurrentPrcb()->Number << 32 | Round;
        KdTraceAt(PASSIVE_LEVEL, TraceIpi, Round & 0xFFFF, A, ~A, A);
        if (Round % 64 == 0) {
            KeIpiGenericCall(DoNothing, 0);
        }
    }
}

/* A CPU may write over its events meanwhile: those are not counted. */
static KE_UNLOCKED VOID CheckRing(const KPRCB *Prcb, ULONG *Seen) {
    ULONG64 Count = Prcb->TraceCount, Size = RingEvents(Prcb), LastRound = 0;
    for (ULONG64 Index = Count > Size ? Count - Size : 0; Index < Count; Index++) {
        const KTRACE_EVENT *Event = KdFindTraceEvent(Prcb, Index);
        if (Event == NULL || Event->Kind != TraceIpi || (Event->A & MARK_MASK) != MARK || Event->B != ~Event->A) {
            continue;
        }
        ++*Seen;
        KT_EXPECT_EQ(Event->Caller, (ULONG)Event->A);
        KT_EXPECT_EQ(Event->Detail, Event->A & 0xFFFF);
        KT_EXPECT(LastRound <= (ULONG)Event->A);
        LastRound = (ULONG)Event->A;
    }
}

KTEST(trace_an_interrupt_tears_no_event) {
    ULONG Rounds = KtRendezvous(4096), Seen = 0;
    KtRunOnAllCpus(WriteEvents, &Rounds);
    for (ULONG Number = 0; Number < KeNumberProcessors; Number++) {
        CheckRing(KiProcessorBlock[Number], &Seen);
    }
    KT_EXPECT(Seen >= KeNumberProcessors * 16);
}

#ifdef CHECKED
#define NOT_FOUND (~0ULL)

/* The number of CPU 0's first event from First on of this kind, for this lock or by this caller. */
static ULONG64 FindIndex(ULONG64 First, KTRACE_KIND Kind, ULONG64 Lock, ULONG Caller) {
    const KPRCB *Prcb = KiProcessorBlock[0];
    for (ULONG64 Index = First; Index < Prcb->TraceCount; Index++) {
        const KTRACE_EVENT *Event = KdFindTraceEvent(Prcb, Index);
        if (Event != NULL && Event->Kind == Kind && (Lock != 0 ? Event->A == Lock : Event->Caller == Caller)) {
            return Index;
        }
    }
    return NOT_FOUND;
}

/* Other threads and interrupts of this CPU may have events in between. */
KTEST(trace_a_spin_lock_leaves_raise_acquire_release_lower_in_this_order) {
    KSPIN_LOCK Lock;
    KIRQL OldIrql;
    KeInitializeSpinLock(&Lock);
    KtPin(0);
    ULONG64 First = KiProcessorBlock[0]->TraceCount;
    KeAcquireSpinLock(&Lock, &OldIrql);
    KeReleaseSpinLock(&Lock, OldIrql);
    ULONG64 Acquired = FindIndex(First, TraceAcquire, (ULONG64)&Lock, 0);
    ULONG64 Released = FindIndex(First, TraceRelease, (ULONG64)&Lock, 0);
    KtUnpin();
    KT_REQUIRE(Acquired != NOT_FOUND && Released != NOT_FOUND);
    const KTRACE_EVENT *Taken = KdFindTraceEvent(KiProcessorBlock[0], Acquired);
    const KTRACE_EVENT *Let = KdFindTraceEvent(KiProcessorBlock[0], Released);
    ULONG64 Raised = FindIndex(First, TraceRaise, 0, Taken->Caller);
    ULONG64 Lowered = FindIndex(First, TraceLower, 0, Let->Caller);
    KT_REQUIRE(Raised != NOT_FOUND && Lowered != NOT_FOUND);
    KT_EXPECT(Raised < Acquired && Acquired < Released && Released < Lowered);
    KT_EXPECT_EQ(KdFindTraceEvent(KiProcessorBlock[0], Raised)->Detail, PASSIVE_LEVEL | DISPATCH_LEVEL << 8);
    KT_EXPECT_EQ(KdFindTraceEvent(KiProcessorBlock[0], Lowered)->Detail, DISPATCH_LEVEL | PASSIVE_LEVEL << 8);
    KT_EXPECT_EQ(Taken->B, (ULONG64)KiCurrentThread());
}
#endif

/* trim.c: the working-set manager, which unmaps pages that have not been used lately.
 *
 * A clock goes round the pageable addresses. A page whose accessed bit is set gets a second chance: the bit is cleared.
 * One that is still clear when the hand returns is trimmed: its PTE changes to the transition form, all TLBs forget
 * it, and the frame goes to a list (tests/models/shootdown.pml). Trimming writes nothing and loses nothing: the next
 * touch at a legal IRQL is a soft fault. The thread runs when pages run low, and looks once a second. */
#include "mi.h"
#include <ps.h>
#include <trace.h>

#define PERIOD (-10000000LL)   /* 1 s, in units of 100 ns */
#define LARGE_SPAN 0x200000ULL /* mapped by one page table */
#define TRIM_WINDOW 128        /* PTEs per lock hold */

KEVENT MiTrimEvent;
BOOLEAN MiIsTrimWanted;
PKTHREAD MiTrimThread;

static ULONG64 ClockHand; /* the trimmer's alone: an address in MiPageableRanges[ClockRange] */
static ULONG ClockRange;

typedef enum _TRIM_MODE { TrimAll, TrimUntouched } TRIM_MODE;

/* Changes one valid PTE of a pageable page to the transition form. Returns the frame, or 0. MmPfnLock held. */
static ULONG64 TrimPte(volatile MMPTE *Pte, TRIM_MODE Mode) {
    MMPTE Old = *Pte;
    if (!(Old & PTE_VALID) || !MiGetPfn(MiGetPteFrame(Old))->IsPageable ||
        MiGetPfn(MiGetPteFrame(Old))->LockCount != 0) {
        return 0;
    }
    if (Mode == TrimUntouched && Old & PTE_ACCESSED) {
        /* Atomic: the CPU may set D meanwhile. Not flushed: a CPU that goes on using its translation does not set A
         * again, and the page may be trimmed although it is in use. That costs a soft fault; a shoot-down per look
         * would cost more. */
        __atomic_fetch_and(Pte, ~PTE_ACCESSED, __ATOMIC_SEQ_CST);
        return 0;
    }
    /* From this instruction on, no CPU can set D: one that holds a clean translation must walk the tables to do so. */
    Old = __atomic_exchange_n(Pte, MiMakeTransitionPte(MiGetPteFrame(Old), MiSaveProtection(Old)), __ATOMIC_SEQ_CST);
    if (Old & PTE_DIRTY) {
        MiGetPfn(MiGetPteFrame(Old))->IsModified = TRUE;
    }
    KdTrace(TraceTrim, 0, MiGetPteVa(Pte), Old, 0);
    return MiGetPteFrame(Old);
}

/* Looks at up to Pages PTEs of one page table, and trims up to MI_FLUSH_BATCH pages in one lock hold with one
 * shoot-down. Returns pages trimmed; *Looked is how many PTEs are done. */
static ULONG TrimBatch(ULONG64 Va, ULONG64 Pages, TRIM_MODE Mode, ULONG64 *Looked) {
    ULONG64 Frame[MI_FLUSH_BATCH], First = 0, Page = 0;
    ULONG Trimmed = 0;
    KIRQL OldIrql = MiAcquirePfnLock();
    for (; Page < Pages && Trimmed < MI_FLUSH_BATCH; Page++) {
        Frame[Trimmed] = TrimPte(MiGetPteAddress(Va + (Page << PAGE_SHIFT)), Mode);
        First = Trimmed == 0 ? Page : First;
        Trimmed += Frame[Trimmed] != 0;
    }
    if (Trimmed != 0) {
        MiFlushTb(Va + (First << PAGE_SHIFT), Page - First);
    }
    for (ULONG Index = 0; Index < Trimmed; Index++) {
        MiRetirePage(MiGetPfn(Frame[Index]));
    }
    MiResidentPages -= Trimmed;
    MiCounters.Trims += Trimmed;
    MiReleasePfnLock(OldIrql);
    *Looked = Page;
    return Trimmed;
}

/* Trims [Va, End), both page aligned and inside one pageable region. Reads the PTEs without the lock first: most are
 * not valid. */
static ULONG TrimSpan(ULONG64 Va, ULONG64 End, TRIM_MODE Mode) {
    ULONG Trimmed = 0;
    while (Va < End) {
        ULONG64 Stop = (Va & ~(LARGE_SPAN - 1)) + LARGE_SPAN, Looked = 1;
        ULONG Level;
        MMPTE Pte = MiReadPte(Va, &Level);
        Stop = Stop < End ? Stop : End;
        if (Level != 1) {
            Looked = (Stop - Va) >> PAGE_SHIFT; /* no page table: nothing was ever given out here */
        } else if (Pte & PTE_VALID) {
            ULONG64 Window = (Stop - Va) >> PAGE_SHIFT;
            Trimmed += TrimBatch(Va, Window < TRIM_WINDOW ? Window : TRIM_WINDOW, Mode, &Looked);
        }
        Va += Looked << PAGE_SHIFT;
    }
    return Trimmed;
}

static ULONG64 RangeEnd(const MI_RANGE *Range) {
    return Range->Start + (Range->HighestUsed << PAGE_SHIFT);
}

/* See mm.h. An address outside the pageable regions is left alone. */
ULONG MmTrimRange(PVOID Va, SIZE_T Bytes) {
    ULONG64 Start = (ULONG64)Va & ~(PAGE_SIZE - 1ULL), End = ROUND_TO_PAGES((ULONG64)Va + Bytes);
    MM_REGION_KIND Kind = MmFindRegion(Start)->Kind;
    BOOLEAN IsPageable = Kind == RegionPagedPool || Kind == RegionDriverImages || Kind == RegionSpecialPagedPool;
    if (Bytes == 0 || !IsPageable || MmFindRegion(End - 1)->Kind != Kind) {
        return 0;
    }
    return TrimSpan(Start, End, TrimAll);
}

/* See mm.h. */
ULONG MmTrimAllPageable(VOID) {
    if (MiResidentPages == 0) {
        return 0;
    }
    ULONG Trimmed = 0;
    for (MI_RANGE *const *Range = MiPageableRanges; Range < MiPageableRangesEnd; Range++) {
        Trimmed += TrimSpan((*Range)->Start, RangeEnd(*Range), TrimAll);
    }
    return Trimmed;
}

/* Moves the hand over one page table's worth of addresses: through each range in turn, then round again. */
static VOID AdvanceClock(PBOOLEAN HasWrapped) {
    ULONG64 End = RangeEnd(MiPageableRanges[ClockRange]);
    ULONG64 Stop = (ClockHand & ~(LARGE_SPAN - 1)) + LARGE_SPAN;
    if (ClockHand < End) {
        TrimSpan(ClockHand, Stop < End ? Stop : End, TrimUntouched);
    }
    ClockHand = Stop;
    if (Stop >= End) {
        ClockRange = (ClockRange + 1) % (ULONG)(MiPageableRangesEnd - MiPageableRanges);
        ClockHand = MiPageableRanges[ClockRange]->Start;
        *HasWrapped = ClockRange == 0;
    }
}

static BOOLEAN IsEnough(VOID) { /* without the lock: a page more or less does not matter */
    return ReadULong64NoFence(&MiAvailablePages) + ReadULong64NoFence(&MiModifiedList.Count) >= MiHighPages;
}

/* Trims until enough pages are available or will be once they are written, but no more than two rounds of the clock. */
static VOID RunClock(VOID) {
    for (ULONG Rounds = 0; Rounds < 2 && !IsEnough();) {
        BOOLEAN HasWrapped = FALSE;
        AdvanceClock(&HasWrapped);
        Rounds += HasWrapped;
    }
}

/* While pages are plentiful nothing is trimmed: a page stays as long as its memory is not needed. */
static VOID WorkingSetManager(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    LARGE_INTEGER Period = {.QuadPart = PERIOD};
    for (;;) {
        KeWaitForSingleObject(&MiTrimEvent, WrVirtualMemory, KernelMode, FALSE, &Period);
        KIRQL OldIrql = MiAcquirePfnLock();
        MiIsTrimWanted = FALSE;
        BOOLEAN IsLow = MiAvailablePages < MiHighPages;
        MiReleasePfnLock(OldIrql);
        if (IsLow && MiHasPageFile) {
            RunClock();
            MiWakeWriter();
        }
    }
}

/* PASSIVE_LEVEL. */
NTSTATUS MiStartTrimmer(VOID) {
    PETHREAD Thread;
    ClockHand = MiPageableRanges[0]->Start;
    NTSTATUS Status = PsCreateNamedThread(&Thread, "working-set manager", 17, WorkingSetManager, NULL);
    if (NT_SUCCESS(Status)) {
        MiTrimThread = &Thread->Tcb; /* the reference is kept: the thread never ends */
    }
    return Status;
}

/* range.c: which pages of an address region are taken: one bit each, first fit.
 *
 * A range knows nothing of memory: it hands out addresses, and mapping.c puts pages behind them. */
#include "mi.h"

KE_DECLARE_LOCK(MmAddressLock, RANK_PFN - 1, "bitmaps of the address ranges");

MI_RANGE MiNonPagedRange, MiPagedRange, MiSystemRange, MiImageRange, MiStackRange;
MI_PAGEABLE_RANGE(MiPagedRange);
MI_PAGEABLE_RANGE(MiImageRange);

static KIRQL AcquireAddressLock(VOID) {
    KIRQL OldIrql = KiCurrentIrql();
    if (OldIrql < DISPATCH_LEVEL) {
        return KeAcquireSpinLockRaiseToDpc(&MmAddressLock);
    }
    KeAcquireSpinLockAtDpcLevel(&MmAddressLock);
    return OldIrql;
}

static VOID ReleaseAddressLock(KIRQL OldIrql) {
    if (OldIrql < DISPATCH_LEVEL) {
        KeReleaseSpinLock(&MmAddressLock, OldIrql);
    } else {
        KeReleaseSpinLockFromDpcLevel(&MmAddressLock);
    }
}

static BOOLEAN IsTaken(const MI_RANGE *Range, ULONG64 Page) {
    return Range->Bitmap[Page / 64] >> (Page % 64) & 1;
}

/* The first free page at or after From, or Range->Pages. */
static ULONG64 FindFree(const MI_RANGE *Range, ULONG64 From) {
    for (ULONG64 Word = From / 64; Word * 64 < Range->Pages; Word++) {
        ULONG64 Free = ~Range->Bitmap[Word];
        if (Word == From / 64) {
            Free &= ~0ULL << (From % 64);
        }
        if (Free != 0) {
            ULONG64 Page = Word * 64 + (ULONG64)__builtin_ctzll(Free);
            return Page < Range->Pages ? Page : Range->Pages;
        }
    }
    return Range->Pages;
}

/* The first run of Pages free pages in [From, Range->Pages), or Range->Pages. */
static ULONG64 FindRun(const MI_RANGE *Range, ULONG64 From, ULONG64 Pages) {
    ULONG64 Start = FindFree(Range, From);
    while (Start + Pages <= Range->Pages) {
        ULONG64 Length = 1;
        while (Length < Pages && !IsTaken(Range, Start + Length)) {
            Length++;
        }
        if (Length == Pages) {
            return Start;
        }
        Start = FindFree(Range, Start + Length);
    }
    return Range->Pages;
}

static VOID FlipRun(MI_RANGE *Range, ULONG64 Start, ULONG64 Pages, BOOLEAN WasTaken) {
    UNREFERENCED_PARAMETER(WasTaken);
    for (ULONG64 Page = Start; Page < Start + Pages; Page++) {
        NT_ASSERT(IsTaken(Range, Page) == WasTaken);
        Range->Bitmap[Page / 64] ^= 1ULL << (Page % 64);
    }
}

/* Reserves Pages consecutive pages of address space; 0 when there is no such room. Nothing is mapped there.
 * <= DISPATCH_LEVEL (and HIGH_LEVEL on the boot CPU), no lock of RANK_PFN or above held. */
ULONG64 MiReserveRange(MI_RANGE *Range, ULONG64 Pages) {
    KIRQL OldIrql = AcquireAddressLock();
    ULONG64 Start = Pages == 0 ? Range->Pages : FindRun(Range, Range->Hint, Pages);
    if (Start >= Range->Pages && Range->ReusesLate && Pages != 0) {
        Start = FindRun(Range, 0, Pages);
    }
    BOOLEAN IsFound = Start < Range->Pages;
    if (IsFound) {
        FlipRun(Range, Start, Pages, FALSE);
        /* With a run of several pages, smaller holes below it stay behind the hint only in a range that reuses late. */
        if (Range->ReusesLate || Start == Range->Hint || Pages == 1) {
            Range->Hint = Start + Pages;
        }
        if (Range->HighestUsed < Start + Pages) {
            Range->HighestUsed = Start + Pages;
        }
    }
    ReleaseAddressLock(OldIrql);
    return IsFound ? Range->Start + (Start << PAGE_SHIFT) : 0;
}

/* Gives back what MiReserveRange gave, or a part of it; nothing may be mapped there any more. Same IRQL and locks. */
VOID MiReleaseRange(MI_RANGE *Range, ULONG64 Va, ULONG64 Pages) {
    ULONG64 Start = (Va - Range->Start) >> PAGE_SHIFT;
    NT_ASSERT(Va >= Range->Start && Start + Pages <= Range->Pages);
    KIRQL OldIrql = AcquireAddressLock();
    FlipRun(Range, Start, Pages, TRUE);
    if (!Range->ReusesLate && Start < Range->Hint) {
        Range->Hint = Start;
    }
    ReleaseAddressLock(OldIrql);
}

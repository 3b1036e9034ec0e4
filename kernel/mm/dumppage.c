/* dumppage.c: an address as a crash dump sees it: contents in RAM, a page-file slot, or nothing.
 *
 * The page tables may be damaged by now, so a frame counts as memory only if the PFN database covers it; its contents
 * are then read through the direct map, never through the entry that names it. Pages in transition have lost their
 * mapping, not their contents: the dump has them as if they were mapped. */
#include "mi.h"
#include <dump.h>

#define LONGEST_STEP 0x10000 /* pages */
#define LONGEST_RUN 256      /* of contiguous pages that are taken for a driver's; the RAM page file's are longer */

static MM_DUMP_PAGE Say(ULONG Reason, ULONG64 Pages, ULONG64 Value) {
    return (MM_DUMP_PAGE){.Reason = Reason, .Pages = Pages, .Physical = Value};
}

static ULONG64 PagesTo(ULONG64 Va, ULONG64 End) {
    return (End - Va) >> PAGE_SHIFT;
}

static MM_DUMP_PAGE SayFrame(ULONG64 Frame, ULONG64 Pages) {
    return MiIsRamFrame(Frame) ? Say(KdDumpPresent, Pages, Frame << PAGE_SHIFT) : Say(KdDumpDevice, Pages, 0);
}

/* How many pages from this frame on were allocated to be reached through the direct map; 0: it is no first one of them. */
static ULONG64 RunFrom(ULONG64 Frame) {
    const MMPFN *Pfn = MiGetPfn(Frame);
    BOOLEAN IsRun = Pfn->Location == LocationActive && !Pfn->IsPageable && Pfn->PteAddress == NULL &&
                    Pfn->RunPages != 0 && Pfn->RunPages <= LONGEST_RUN && MiIsRamFrame(Frame + Pfn->RunPages - 1);
    return IsRun ? Pfn->RunPages : 0;
}

/* RAM is in the dump by the addresses that it is mapped at; by this one only what was allocated to be reached so. */
static MM_DUMP_PAGE QueryDirectMap(ULONG64 Va, const MM_REGION *Region) {
    ULONG64 Frame = (Va - MM_DIRECT_MAP) >> PAGE_SHIFT, Next = MiNextFrame(Frame), Pages = 1;
    if (!MiIsRamFrame(Frame)) {
        return Say(KdDumpAbsent, Next > Frame ? Next - Frame : PagesTo(Va, Region->End), 0);
    }
    ULONG64 Run = RunFrom(Frame);
    if (Run != 0) {
        return Say(KdDumpPresent, Run, Frame << PAGE_SHIFT);
    }
    while (Pages < LONGEST_STEP && MiIsRamFrame(Frame + Pages) && RunFrom(Frame + Pages) == 0) {
        Pages++;
    }
    return Say(KdDumpDirectMap, Pages, 0);
}

static MM_DUMP_PAGE QueryInvalid(MMPTE Pte) {
    ULONG Slot = MiGetPteSlot(Pte);
    if (Pte & PTE_PROTOTYPE) {
        return Say(KdDumpAbsent, 1, 0); /* a view that has never been looked through */
    }
    if (Pte & PTE_TRANSITION) {
        ULONG64 Frame = MiGetPteFrame(Pte);
        BOOLEAN IsBeingRead = MiIsRamFrame(Frame) && MiGetPfn(Frame)->HasRead;
        return IsBeingRead ? Say(KdDumpPagedOut, 1, MiGetPteSlot(MiGetPfn(Frame)->OriginalPte)) : SayFrame(Frame, 1);
    }
    if (Slot != 0) {
        return Say(KdDumpPagedOut, 1, Slot);
    }
    return Say(Pte & MI_PROTECTION_MASK ? KdDumpDemandZero : KdDumpAbsent, 1, 0);
}

/* Any IRQL, no locks: the machine is dying. Va is page-aligned and lies in Region. */
MM_DUMP_PAGE MmQueryDumpPage(ULONG64 Va, const MM_REGION *Region) {
    if (Region->Kind == RegionDirectMap) {
        return QueryDirectMap(Va, Region);
    }
    ULONG Level;
    MMPTE Pte = MiReadPte(Va, &Level);
    ULONG64 Span = 1ULL << (PAGE_SHIFT + 9 * (Level - 1));
    ULONG64 Pages = PagesTo(Va, (Va & ~(Span - 1)) + Span);
    if (!(Pte & PTE_VALID)) {
        return Level == 1 ? QueryInvalid(Pte) : Say(KdDumpAbsent, Pages, 0);
    }
    /* Where the self map shows the entry of a large page, there is no table below it. */
    if (Region->Kind == RegionPageTables && Pte & PTE_LARGE) {
        return Say(KdDumpAbsent, Pages, 0);
    }
    ULONG64 Frame = (MiGetPteFrame(Pte) & ~((Span >> PAGE_SHIFT) - 1)) + ((Va & (Span - 1)) >> PAGE_SHIFT);
    return SayFrame(Frame, Pages);
}

/* Where the PFN database has the frame behind an address, mapped or in transition; 0: there is none. Any IRQL. */
ULONG64 MmGetPfnAddress(ULONG64 Va) {
    MM_DUMP_PAGE Page = MmQueryDumpPage(Va & ~(PAGE_SIZE - 1ULL), MmFindRegion(Va));
    return Page.Reason == KdDumpPresent ? (ULONG64)MiGetPfn(Page.Physical >> PAGE_SHIFT) : 0;
}

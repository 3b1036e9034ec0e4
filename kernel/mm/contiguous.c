/* contiguous.c: frames that lie side by side, for devices that read and write memory by themselves. */
#include "mi.h"

/* A frame that nobody owns or whose contents the page file has. */
static BOOLEAN IsTakable(ULONG64 Frame) {
    return MiGetPfn(Frame)->Location <= LocationStandby;
}

static VOID TakeFrame(PMMPFN Pfn) {
    if (Pfn->Location == LocationStandby) {
        MiRepurposeStandbyPage(Pfn);
    } else {
        MiUnlinkPage(Pfn);
    }
    Pfn->Location = LocationActive;
    Pfn->IsPageable = FALSE;
    Pfn->IsModified = FALSE;
    Pfn->PteAddress = NULL;
    Pfn->OriginalPte = 0;
    Pfn->RunPages = 0;
}

/* The first frame of Count takable ones that end at or below Highest, or 0. MmPfnLock held. */
static ULONG64 FindRun(ULONG64 Count, ULONG64 Highest) {
    ULONG64 Frame = MiLowestFrame, Length = 0, Last = 0;
    do {
        Length = !IsTakable(Frame) ? 0 : Frame == Last + 1 ? Length + 1 : 1;
        Last = Frame;
        if (Length == Count) {
            return Frame - Count + 1;
        }
        Frame = MiNextFrame(Frame);
    } while (Frame > Last && Frame <= Highest);
    return 0;
}

static ULONG64 TakeRun(ULONG64 Count, ULONG64 HighestFrame) {
    KIRQL OldIrql = MiAcquirePfnLock();
    ULONG64 Frame = 0;
    if (Count != 0 && MiAvailablePages > Count + MI_RESERVED_PAGES && MiChargeCommit(Count, TRUE)) {
        Frame = FindRun(Count, HighestFrame);
        if (Frame == 0) {
            MiReturnCommit(Count, TRUE);
        }
        for (ULONG64 Page = 0; Frame != 0 && Page < Count; Page++) {
            TakeFrame(MiGetPfn(Frame + Page));
        }
        if (Frame != 0) {
            MiGetPfn(Frame)->RunPages = Count;
        }
    }
    MiReleasePfnLock(OldIrql);
    return Frame;
}

static VOID GiveRun(ULONG64 Frame, ULONG64 Count) {
    KIRQL OldIrql = MiAcquirePfnLock();
    MiGetPfn(Frame)->RunPages = 0;
    for (ULONG64 Page = 0; Page < Count; Page++) {
        MiGivePage(MiGetPfn(Frame + Page), FALSE);
    }
    MiReturnCommit(Count, TRUE);
    MiReleasePfnLock(OldIrql);
}

/* See mm.h. Contents are undefined; reached through MmPhysicalToVirtual. */
ULONG64 MmAllocatePhysicalPages(ULONG Count) {
    return TakeRun(Count, MiHighestFrame) << PAGE_SHIFT;
}

/* <= DISPATCH_LEVEL. */
VOID MmFreePhysicalPages(ULONG64 Physical, ULONG Count) {
    GiveRun(Physical >> PAGE_SHIFT, Count);
}

/* Documented: page-aligned nonpaged memory, uninitialised, in one piece below the given address; NULL: there is none.
 * <= DISPATCH_LEVEL. The address is the direct map's. */
PVOID MmAllocateContiguousMemory(SIZE_T NumberOfBytes, PHYSICAL_ADDRESS HighestAcceptableAddress) {
    ULONG64 Highest = ((ULONG64)HighestAcceptableAddress.QuadPart + 1) >> PAGE_SHIFT;
    ULONG64 HighestFrame = Highest == 0 ? MiHighestFrame : Highest - 1;
    if ((ULONG64)HighestAcceptableAddress.QuadPart == ~0ULL || HighestFrame > MiHighestFrame) {
        HighestFrame = MiHighestFrame;
    }
    ULONG64 Frame = TakeRun(BYTES_TO_PAGES(NumberOfBytes), HighestFrame);
    return Frame == 0 ? NULL : MmPhysicalToVirtual(Frame << PAGE_SHIFT);
}

/* Documented: frees the whole of it. An address that is no such allocation, or no longer, stops the machine: 0x19
 * (0x22, address, 4, 0). <= DISPATCH_LEVEL. */
VOID MmFreeContiguousMemory(PVOID BaseAddress) {
    ULONG64 Frame = ((ULONG64)BaseAddress - MM_DIRECT_MAP) >> PAGE_SHIFT;
    BOOLEAN IsFrame = MmFindRegion((ULONG64)BaseAddress)->Kind == RegionDirectMap && BYTE_OFFSET(BaseAddress) == 0 &&
                      MiIsRamFrame(Frame);
    PMMPFN Pfn = MiGetPfn(Frame);
    if (!IsFrame || Pfn->Location != LocationActive || Pfn->IsPageable || Pfn->RunPages == 0) {
        KeBugCheckEx(BAD_POOL_HEADER, 0x22, (ULONG_PTR)BaseAddress, 4, 0);
    }
    GiveRun(Frame, Pfn->RunPages);
}

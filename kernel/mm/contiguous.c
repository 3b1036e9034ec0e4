/* contiguous.c: frames that lie side by side, for devices that read and write memory by themselves. */
#include "mi.h"

/* A frame without an owner, or whose contents are in the page file. */
static BOOLEAN IsTakable(ULONG64 Frame) {
    return MiGetPfn(Frame)->Location <= LocationStandby;
}

static BOOLEAN CrossesBoundary(ULONG64 First, ULONG64 Last, ULONG64 Boundary) {
    return Boundary != 0 && First / Boundary != Last / Boundary;
}

/* A single frame that may lie anywhere needs no search; 0: there is none. MmPfnLock held. */
static ULONG64 FindFrame(VOID) {
    const MI_PAGE_LIST *List = MiFreeList.Count != 0     ? &MiFreeList
                               : MiZeroedList.Count != 0 ? &MiZeroedList
                                                         : &MiStandbyList;
    return List->Count != 0 ? List->First : 0;
}

/* The first frame of Count takable ones within the limits, or 0. MmPfnLock held. */
static ULONG64 FindRun(ULONG64 Count, const MI_RUN_LIMITS *Limits) {
    if (Count == 1 && Limits->Lowest == 0 && Limits->Highest >= MiHighestFrame) {
        return FindFrame();
    }
    ULONG64 Frame = MiNextFrame(Limits->Lowest == 0 ? 0 : Limits->Lowest - 1), Length = 0, Last = 0;
    do {
        Length = !IsTakable(Frame) || Frame > Limits->Highest ? 0 : Frame == Last + 1 ? Length + 1 : 1;
        Last = Frame;
        if (Length >= Count && !CrossesBoundary(Frame - Count + 1, Frame, Limits->Boundary)) {
            return Frame - Count + 1;
        }
        Frame = MiNextFrame(Frame);
    } while (Frame > Last && Frame <= Limits->Highest);
    return 0;
}

/* See mi.h. */
ULONG64 MiTakeRun(ULONG64 Count, const MI_RUN_LIMITS *Limits) {
    KIRQL OldIrql = MiAcquirePfnLock();
    ULONG64 Frame = 0;
    if (Count != 0 && MiAvailablePages > Count + MI_RESERVED_PAGES && MiChargeCommit(Count, TRUE)) {
        Frame = FindRun(Count, Limits);
        if (Frame == 0) {
            MiReturnCommit(Count, TRUE);
        }
        for (ULONG64 Page = 0; Frame != 0 && Page < Count; Page++) {
            MiTakeFrame(MiGetPfn(Frame + Page));
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
    MI_RUN_LIMITS Limits = {0, MiHighestFrame, 0};
    return MiTakeRun(Count, &Limits) << PAGE_SHIFT;
}

/* <= DISPATCH_LEVEL. */
VOID MmFreePhysicalPages(ULONG64 Physical, ULONG Count) {
    GiveRun(Physical >> PAGE_SHIFT, Count);
}

/* The last whole frame that ends at or below a physical address. */
ULONG64 MiHighestFrameBelow(ULONG64 Highest) {
    ULONG64 Frames = Highest == ~0ULL ? ~0ULL : (Highest + 1) >> PAGE_SHIFT;
    return Frames > MiHighestFrame ? MiHighestFrame : Frames == 0 ? 0 : Frames - 1;
}

/* Documented: page-aligned nonpaged memory, uninitialised, in one piece below the given address; NULL: there is none.
 * <= DISPATCH_LEVEL. The address is the direct map's. */
PVOID MmAllocateContiguousMemory(SIZE_T NumberOfBytes, PHYSICAL_ADDRESS HighestAcceptableAddress) {
    MI_RUN_LIMITS Limits = {0, MiHighestFrameBelow((ULONG64)HighestAcceptableAddress.QuadPart), 0};
    ULONG64 Frame = MiTakeRun(BYTES_TO_PAGES(NumberOfBytes), &Limits);
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

/* pfn.c: the page-frame database: one MMPFN for each frame of RAM, and the lists of free frames.
 *
 * A frame is in exactly one list or in none (active, or in transfer). Taking one prefers what costs least: a page
 * that is zeroed already, then a free one, then a standby page, whose contents the page file has. When nothing is
 * left the caller gets 0: an allocation that cannot wait returns NULL, a fault waits. The last MI_RESERVED_PAGES
 * are for the threads that make room (trimmer and writer) alone. */
#include "mi.h"

KE_DECLARE_LOCK(MmPfnLock, RANK_PFN, "PFN database, lists, PTE transitions of pageable memory");

MI_PAGE_LIST MiZeroedList = {MI_END, MI_END, 0, LocationZeroed};
MI_PAGE_LIST MiFreeList = {MI_END, MI_END, 0, LocationFree};
MI_PAGE_LIST MiStandbyList = {MI_END, MI_END, 0, LocationStandby};
MI_PAGE_LIST MiModifiedList = {MI_END, MI_END, 0, LocationModified};
ULONG64 MiAvailablePages, MiTotalPages, MiLowestFrame, MiHighestFrame, MiLowPages, MiHighPages, MiResidentPages;

MI_RAM_RUN MiRam[BOOT_MAXIMUM_RANGES];
ULONG MiRamRuns;

static KEVENT PageEvent;      /* notification: a page may be had */
static BOOLEAN IsPageAwaited; /* PageEvent is clear and a thread is going to wait for it */

static MI_PAGE_LIST *const ListOfLocation[] = {&MiZeroedList, &MiFreeList, &MiStandbyList, &MiModifiedList};

/* Appends a frame that is in no list. MmPfnLock held; so for all below unless said otherwise. */
VOID MiInsertPage(MI_PAGE_LIST *List, PMMPFN Pfn) {
    ULONG64 Frame = MiGetFrame(Pfn);
    NT_ASSERT(Pfn->Location >= LocationActive && !Pfn->HasRead && !Pfn->HasWrite);
    Pfn->Next = MI_END;
    Pfn->Previous = List->Last;
    if (List->Last == MI_END) {
        List->First = Frame;
    } else {
        MiGetPfn(List->Last)->Next = Frame;
    }
    List->Last = Frame;
    List->Count++;
    Pfn->Location = List->Location;
    if (List->Location <= LocationStandby) {
        MiAvailablePages++;
        if (IsPageAwaited) {
            MiSignalPageWaiters();
        }
    }
}

/* Takes a frame out of its list; it is LocationTransition then, for the caller to place. */
VOID MiUnlinkPage(PMMPFN Pfn) {
    NT_ASSERT(Pfn->Location <= LocationModified);
    MI_PAGE_LIST *List = ListOfLocation[Pfn->Location];
    if (Pfn->Previous == MI_END) {
        List->First = Pfn->Next;
    } else {
        MiGetPfn(Pfn->Previous)->Next = Pfn->Next;
    }
    if (Pfn->Next == MI_END) {
        List->Last = Pfn->Previous;
    } else {
        MiGetPfn(Pfn->Next)->Previous = Pfn->Previous;
    }
    List->Count--;
    if (Pfn->Location <= LocationStandby) {
        MiAvailablePages--;
    }
    Pfn->Location = LocationTransition;
}

/* The standby page gets a new owner: the PTE that remembered the frame remembers the slot from now on. */
VOID MiRepurposeStandbyPage(PMMPFN Pfn) {
    MMPTE Old = *Pfn->PteAddress;
    NT_ASSERT(!(Old & PTE_VALID) && Old & PTE_TRANSITION && MiGetPteFrame(Old) == MiGetFrame(Pfn));
    NT_ASSERT(MiGetPteSlot(Pfn->OriginalPte) != 0 && !Pfn->IsModified);
    MiUnlinkPage(Pfn);
    *Pfn->PteAddress = Pfn->OriginalPte | (Old & MI_PROTECTION_MASK);
}

static VOID MakeOwned(PMMPFN Pfn) {
    Pfn->Location = LocationActive;
    Pfn->IsPageable = FALSE;
    Pfn->IsModified = FALSE;
    Pfn->IsDeleted = FALSE;
    Pfn->PteAddress = NULL;
    Pfn->OriginalPte = 0;
    Pfn->RunPages = 0;
}

/* Wakes the trimmer when pages run low: once, until it has looked. */
static VOID CheckLowWater(VOID) {
    if (MiAvailablePages < MiLowPages && !MiIsTrimWanted && MiHasPageFile) {
        MiIsTrimWanted = TRUE;
        KeSetEvent(&MiTrimEvent, IO_NO_INCREMENT, FALSE);
    }
}

/* Few zeroed pages are left, or free ones have come back: there is work for the zero-page thread. */
static VOID CheckZeroed(VOID) {
    if (MiZeroedList.Count < MiZeroedTarget / 4 && !MiIsZeroWanted && MiFreeList.Count > 2 * MI_RESERVED_PAGES) {
        MiIsZeroWanted = TRUE;
        KeSetEvent(&MiZeroEvent, IO_NO_INCREMENT, FALSE);
    }
}

/* See mi.h. */
VOID MiTakeFrame(PMMPFN Pfn) {
    if (Pfn->Location == LocationStandby) {
        MiRepurposeStandbyPage(Pfn);
    } else {
        MiUnlinkPage(Pfn);
    }
    MakeOwned(Pfn);
}

static BOOLEAN MayUseReserve(VOID) {
    PKTHREAD Thread = KiCurrentThread();
    return Thread != NULL && (Thread == MiTrimThread || Thread == MiWriterThread);
}

/* See mi.h. The frame is the caller's: active, in no list, of unknown contents unless *IsZeroed. */
ULONG64 MiTakePage(BOOLEAN WantsZero, PBOOLEAN IsZeroed) {
    CheckLowWater();
    CheckZeroed();
    if (MiAvailablePages <= MI_RESERVED_PAGES && (MiAvailablePages == 0 || !MayUseReserve())) {
        return 0;
    }
    MI_PAGE_LIST *First = WantsZero ? &MiZeroedList : &MiFreeList;
    MI_PAGE_LIST *Second = WantsZero ? &MiFreeList : &MiZeroedList;
    MI_PAGE_LIST *List = First->Count != 0 ? First : Second->Count != 0 ? Second : &MiStandbyList;
    PMMPFN Pfn = MiGetPfn(List->First);
    MiTakeFrame(Pfn);
    *IsZeroed = List == &MiZeroedList;
    return MiGetFrame(Pfn);
}

#define PFN_FREED_WHILE_LOCKED 0x9A /* sub-code of PFN_LIST_CORRUPT */

/* Frees a frame without references. Locked by an MDL: 0x4E (0x9A, frame, state, locks). */
VOID MiGivePage(PMMPFN Pfn, BOOLEAN IsZeroed) {
    if (Pfn->LockCount != 0) {
        KeBugCheckEx(PFN_LIST_CORRUPT, PFN_FREED_WHILE_LOCKED, MiGetFrame(Pfn), Pfn->Location, Pfn->LockCount);
    }
    MakeOwned(Pfn);
    MiInsertPage(IsZeroed ? &MiZeroedList : &MiFreeList, Pfn);
    CheckZeroed();
}

/* The page's address is gone: its PTE no longer refers to it, and no CPU has a translation of it. */
VOID MiDeletePage(PMMPFN Pfn) {
    if (Pfn->HasRead || Pfn->HasWrite) {
        Pfn->IsDeleted = TRUE;
        Pfn->Location = LocationTransition;
        return;
    }
    if (Pfn->Location <= LocationModified) {
        MiUnlinkPage(Pfn);
    }
    if (Pfn->OriginalPte != 0) {
        MiFreeSlot(MiGetPteSlot(Pfn->OriginalPte));
    }
    MiGivePage(Pfn, FALSE);
}

/* A page whose PTE is in transition form and flushed from all TLBs goes where its contents are safe (mi.h: invariants
 * I3, I4). */
VOID MiRetirePage(PMMPFN Pfn) {
    if (Pfn->HasWrite) {
        Pfn->Location = LocationTransition;
    } else if (Pfn->IsModified || Pfn->OriginalPte == 0) {
        MiInsertPage(&MiModifiedList, Pfn);
    } else {
        MiInsertPage(&MiStandbyList, Pfn);
    }
}

/* Any IRQL, no lock. */
BOOLEAN MiIsRamFrame(ULONG64 Frame) {
    for (ULONG Run = 0; Run < MiRamRuns; Run++) {
        if (Frame >= MiRam[Run].First && Frame < MiRam[Run].End) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Any IRQL, no lock. */
ULONG64 MiNextFrame(ULONG64 Frame) {
    Frame++;
    for (ULONG Run = 0; Run < MiRamRuns; Run++) {
        if (Frame < MiRam[Run].End) {
            return Frame < MiRam[Run].First ? MiRam[Run].First : Frame;
        }
    }
    return MiRam[0].First;
}

/* Boot CPU, before the first fault. */
VOID MiInitializePageEvents(VOID) {
    KeInitializeEvent(&PageEvent, NotificationEvent, TRUE);
    KeInitializeEvent(&MiTrimEvent, SynchronizationEvent, FALSE);
    KeInitializeEvent(&MiWriterEvent, SynchronizationEvent, FALSE);
    KeInitializeEvent(&MiZeroEvent, SynchronizationEvent, FALSE);
}

/* Declares that the caller is going to wait for a page or another scarce thing. In the same hold of MmPfnLock in which
 * it saw that there is none, so that no signal is lost. */
VOID MiPreparePageWait(VOID) {
    KeClearEvent(&PageEvent);
    IsPageAwaited = TRUE;
    MiIsTrimWanted = TRUE;
    KeSetEvent(&MiTrimEvent, IO_NO_INCREMENT, FALSE);
}

/* Waits until it is worth trying again; the time-out is for a page file that stays full until memory is freed.
 * <= APC_LEVEL, no lock. */
VOID MiWaitForPage(VOID) {
    LARGE_INTEGER Timeout = {.QuadPart = -500000}; /* 50 ms */
    KeWaitForSingleObject(&PageEvent, WrFreePage, KernelMode, FALSE, &Timeout);
}

VOID MiSignalPageWaiters(VOID) {
    if (IsPageAwaited && (MiAvailablePages > MI_RESERVED_PAGES)) {
        IsPageAwaited = FALSE;
        KeSetEvent(&PageEvent, IO_NO_INCREMENT, FALSE);
    }
}

MM_STATISTICS MiCounters;

/* See mm.h: read without the lock, each number true by itself. Any IRQL. */
KE_UNLOCKED VOID MmQueryStatistics(MM_STATISTICS *Statistics) {
    *Statistics = MiCounters;
    Statistics->TotalPages = MiTotalPages;
    Statistics->AvailablePages = MiAvailablePages;
    Statistics->ZeroedPages = MiZeroedList.Count;
    Statistics->FreePages = MiFreeList.Count;
    Statistics->StandbyPages = MiStandbyList.Count;
    Statistics->ModifiedPages = MiModifiedList.Count;
    Statistics->PagedPoolResidentPages = MiResidentPages;
    Statistics->PageFileSlots = MiSlotCount;
    Statistics->PageFileUsed = MiSlotsUsed;
}

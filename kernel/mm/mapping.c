/* mapping.c: mapping and unmapping reserved addresses: the layer under pools, stacks and images.
 *
 * Long jobs go in batches of MI_FLUSH_BATCH pages, one hold of MmPfnLock and one TLB shoot-down each. A page leaves
 * its PTE first, then every TLB, and only then goes to a list: otherwise another CPU could still write to it. */
#include "mi.h"
#include <arch.h>

VOID MiFlushTb(ULONG64 Va, ULONG64 Pages) {
    if (KiCurrentIrql() < IPI_LEVEL) {
        KeFlushTb((PVOID)Va, (ULONG)Pages);
        return;
    }
    for (ULONG64 Page = 0; Page < Pages; Page++) { /* the boot CPU, alone */
        HalInvalidatePage(Va + (Page << PAGE_SHIFT));
    }
}

static BOOLEAN MakeTable(volatile MMPTE *Entry) {
    if (*Entry & PTE_VALID) {
        return TRUE;
    }
    BOOLEAN IsZeroed;
    if (!MiChargeCommit(1, TRUE)) {
        return FALSE;
    }
    ULONG64 Frame = MiTakePage(TRUE, &IsZeroed);
    if (Frame == 0) {
        MiReturnCommit(1, TRUE);
        return FALSE;
    }
    if (!IsZeroed) {
        MiZeroFrame(Frame);
    }
    *Entry = Frame << PAGE_SHIFT | MI_TABLE_BITS;
    return TRUE;
}

/* See mi.h: the tables down to the PTEs of the range. They stay when the range is given up. */
BOOLEAN MiMakePageTables(ULONG64 Va, ULONG64 Pages) {
    ULONG64 Last = Va + (Pages << PAGE_SHIFT) - 1;
    for (ULONG64 At = Va & ~0x1FFFFFULL; At <= Last; At += 0x200000) {
        if (!MakeTable(MiGetPpeAddress(At)) || !MakeTable(MiGetPdeAddress(At))) {
            return FALSE;
        }
    }
    return TRUE;
}

static BOOLEAN PrepareRange(ULONG64 Va, ULONG64 Pages, BOOLEAN IsResident) {
    KIRQL OldIrql = MiAcquirePfnLock();
    BOOLEAN IsPrepared = MiChargeCommit(Pages, IsResident);
    if (IsPrepared && !MiMakePageTables(Va, Pages)) {
        MiReturnCommit(Pages, IsResident);
        IsPrepared = FALSE;
    }
    MiReleasePfnLock(OldIrql);
    return IsPrepared;
}

/* Takes up to MI_FLUSH_BATCH frames for the PTEs from Va on; returns how many it mapped. The range is the caller's
 * alone, so that zeroing and the PTEs need no lock. */
static ULONG64 MapBatch(ULONG64 Va, ULONG64 Pages, MMPTE Bits, BOOLEAN WantsZero) {
    ULONG64 Frame[MI_FLUSH_BATCH], Taken = 0;
    BOOLEAN IsZeroed[MI_FLUSH_BATCH];
    KIRQL OldIrql = MiAcquirePfnLock();
    while (Taken < Pages && Taken < MI_FLUSH_BATCH && (Frame[Taken] = MiTakePage(WantsZero, &IsZeroed[Taken])) != 0) {
        Taken++;
    }
    MiReleasePfnLock(OldIrql);
    for (ULONG64 Page = 0; Page < Taken; Page++) {
        if (WantsZero && !IsZeroed[Page]) {
            MiZeroFrame(Frame[Page]);
        }
        *MiGetPteAddress(Va + (Page << PAGE_SHIFT)) = Frame[Page] << PAGE_SHIFT | Bits;
    }
    return Taken;
}

/* See mi.h. Bits are the hardware bits of the PTEs. */
BOOLEAN MiMapResidentPages(ULONG64 Va, ULONG64 Pages, MMPTE Bits, BOOLEAN WantsZero) {
    if (!PrepareRange(Va, Pages, TRUE)) {
        return FALSE;
    }
    for (ULONG64 Done = 0; Done < Pages;) {
        ULONG64 Mapped = MapBatch(Va + (Done << PAGE_SHIFT), Pages - Done, Bits, WantsZero);
        if (Mapped == 0) {
            MiUnmapPages(Va, Pages);
            return FALSE;
        }
        Done += Mapped;
    }
    return TRUE;
}

/* See mi.h. */
BOOLEAN MiMapDemandZeroPages(ULONG64 Va, ULONG64 Pages) {
    if (!PrepareRange(Va, Pages, FALSE)) {
        return FALSE;
    }
    for (ULONG64 Page = 0; Page < Pages; Page++) {
        *MiGetPteAddress(Va + (Page << PAGE_SHIFT)) = MI_DEMAND_ZERO; /* no other code knows these addresses yet */
    }
    return TRUE;
}

/* Clears one PTE and counts it if its page was a pageable one. Returns the frame that it mapped, to be deleted after
 * the TLB shoot-down, or 0. MmPfnLock held. */
static ULONG64 ClearPte(volatile MMPTE *Pte, ULONG64 *Pageable) {
    MMPTE Old = __atomic_exchange_n(Pte, 0, __ATOMIC_SEQ_CST);
    if (Old & PTE_VALID) {
        BOOLEAN IsPageable = MiGetPfn(MiGetPteFrame(Old))->IsPageable;
        MiResidentPages -= IsPageable;
        *Pageable += IsPageable;
        return MiGetPteFrame(Old);
    }
    *Pageable += Old != 0;
    if (Old & PTE_TRANSITION) {
        MiDeletePage(MiGetPfn(MiGetPteFrame(Old)));
    } else if (MiGetPteSlot(Old) != 0) {
        MiFreeSlot(MiGetPteSlot(Old));
    }
    return 0;
}

static VOID UnmapBatch(ULONG64 Va, ULONG64 Pages) {
    ULONG64 Frame[MI_FLUSH_BATCH], Pageable = 0;
    BOOLEAN WasMapped = FALSE;
    KIRQL OldIrql = MiAcquirePfnLock();
    for (ULONG64 Page = 0; Page < Pages; Page++) {
        Frame[Page] = ClearPte(MiGetPteAddress(Va + (Page << PAGE_SHIFT)), &Pageable);
        WasMapped |= Frame[Page] != 0;
    }
    if (WasMapped) {
        MiFlushTb(Va, Pages);
    }
    for (ULONG64 Page = 0; Page < Pages; Page++) {
        if (Frame[Page] != 0) {
            MiDeletePage(MiGetPfn(Frame[Page]));
        }
    }
    MiReturnCommit(Pageable, FALSE);
    MiReturnCommit(Pages - Pageable, TRUE);
    MiReleasePfnLock(OldIrql);
}

/* See mi.h: also for a range that is mapped in part. <= DISPATCH_LEVEL, no lock held. */
VOID MiUnmapPages(ULONG64 Va, ULONG64 Pages) {
    for (ULONG64 Done = 0; Done < Pages; Done += MI_FLUSH_BATCH) {
        ULONG64 Batch = Pages - Done < MI_FLUSH_BATCH ? Pages - Done : MI_FLUSH_BATCH;
        UnmapBatch(Va + (Done << PAGE_SHIFT), Batch);
    }
}

/* See mi.h. */
PVOID MiAllocatePoolPages(BOOLEAN IsPaged, ULONG Pages, BOOLEAN IsExecutable) {
    MI_RANGE *Range = IsPaged ? &MiPagedRange : &MiNonPagedRange;
    ULONG64 Va = MiReserveRange(Range, Pages);
    if (Va == 0) {
        return NULL;
    }
    MMPTE Bits = IsExecutable ? MI_DATA_BITS & ~PTE_NX : MI_DATA_BITS;
    if (!(IsPaged ? MiMapDemandZeroPages(Va, Pages) : MiMapResidentPages(Va, Pages, Bits, FALSE))) {
        MiReleaseRange(Range, Va, Pages);
        return NULL;
    }
    __atomic_fetch_add(IsPaged ? &MiCounters.PagedPoolBytes : &MiCounters.NonPagedPoolBytes,
                       (ULONG64)Pages << PAGE_SHIFT, __ATOMIC_RELAXED);
    return (PVOID)Va;
}

/* See mi.h. */
VOID MiFreePoolPages(PVOID Va, ULONG Pages) {
    BOOLEAN IsPaged = (ULONG64)Va >= MM_PAGED_POOL && (ULONG64)Va < MM_STACKS;
    MiUnmapPages((ULONG64)Va, Pages);
    MiReleaseRange(IsPaged ? &MiPagedRange : &MiNonPagedRange, (ULONG64)Va, Pages);
    __atomic_fetch_sub(IsPaged ? &MiCounters.PagedPoolBytes : &MiCounters.NonPagedPoolBytes,
                       (ULONG64)Pages << PAGE_SHIFT, __ATOMIC_RELAXED);
}

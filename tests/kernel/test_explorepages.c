/* test_explorepages.c: the explored page tables: the trimmer against a store, a changed PTE against the TLB.
 *
 * The processor does its part itself: it walks the tables, sets the dirty bit, and goes on with a translation that it has
 * until that is invalidated. Both contexts share one TLB, so that a flush is one instruction: what is explored is whether
 * and when it comes, not its way to other CPUs. */
#include "explore.h"
#include "pagehelp.h"

/* ---- A page of the paged pool, clean and with a place in the page file ---- */

static volatile ULONG *Page;
static volatile BOOLEAN IsStored;

static volatile MMPTE *PteOf(volatile ULONG *Va) {
    return MiGetPteAddress((ULONG64)Va);
}

static BOOLEAN BeginPage(VOID) {
    Page = MiAllocatePoolPages(TRUE, 1, FALSE);
    if (Page == NULL) {
        return FALSE;
    }
    *Page = 1;
    PageOut((PVOID)Page, 1);
    return *Page == 1 && PagePfn((PVOID)Page)->OriginalPte != 0;
}

static VOID EndPage(VOID) {
    (VOID) * Page; /* a fault like any other puts things in order */
    MiFreePoolPages((PVOID)Page, 1);
}

/* As a legal fault would bring it back; IF = 0 forbids one here. */
static VOID BringBack(volatile ULONG *Va) {
    KTRAP_FRAME Frame = {0};
    KIRQL OldIrql = KiCurrentIrql();
    KiSetIrql(PASSIVE_LEVEL);
    MiResolveFault(&Frame, (ULONG64)Va, PteOf(Va));
    KiSetIrql(OldIrql);
}

/* Resident and clean, and the processor has a translation that says so. */
static VOID PreparePage(VOID) {
    if (!(*PteOf(Page) & PTE_VALID)) {
        BringBack(Page);
    }
    PagePfn((PVOID)Page)->IsModified = FALSE;
    *PteOf(Page) &= ~PTE_DIRTY;
    HalInvalidatePage((ULONG64)Page);
    (VOID) * Page;
    IsStored = FALSE;
}

static VOID StoreToPage(VOID) {
    *Page = 2;
    IsStored = TRUE;
}

static VOID TrimPage(VOID) {
    MmTrimRange((PVOID)Page, PAGE_SIZE);
}

/* As TrimPte of kernel/mm/trim.c, but for the exchange. */
static VOID TrimByPlainStore(VOID) {
    MMPTE Old = *PteOf(Page);
    *PteOf(Page) = MiMakeTransitionPte(MiGetPteFrame(Old), MiSaveProtection(Old));
    KeFlushTb((PVOID)Page, 1);
    if (Old & PTE_DIRTY) {
        PagePfn((PVOID)Page)->IsModified = TRUE;
    }
    MiResidentPages--;
}

static BOOLEAN StoreIsKept(VOID) {
    return !IsStored || (*PteOf(Page) & (PTE_VALID | PTE_DIRTY)) == (PTE_VALID | PTE_DIRTY) ||
           PagePfn((PVOID)Page)->IsModified;
}

#define A_CHANGED_PAGE_IS_WRITTEN "a page that was changed goes to the page file before its frame goes to another"
KEXPLORE(page_trimmed_and_written, .Rule = A_CHANGED_PAGE_IS_WRITTEN, .Begin = BeginPage, .End = EndPage,
         .Prepare = PreparePage, .Run = {StoreToPage, TrimPage}, .Holds = StoreIsKept, .SaysOne = TRUE,
         .ChangesPtes = TRUE, .MayFault = TRUE);
KEXPLORE(broken_pte_trimmed_by_store, .Rule = A_CHANGED_PAGE_IS_WRITTEN, .Begin = BeginPage, .End = EndPage,
         .Prepare = PreparePage, .Run = {StoreToPage, TrimByPlainStore}, .Holds = StoreIsKept, .SaysOne = TRUE,
         .ChangesPtes = TRUE, .MayFault = TRUE, .IsBroken = TRUE);

/* ---- An address that moves from one frame to another: the first holds a 1, the second a 2 ---- */

static volatile ULONG *View, *NewHome;
static MMPTE OldPte;
static volatile BOOLEAN IsMoved;
static volatile ULONG SeenBefore, SeenAfterwards;

static BOOLEAN BeginView(VOID) {
    View = MiAllocatePoolPages(FALSE, 1, FALSE);
    NewHome = MiAllocatePoolPages(FALSE, 1, FALSE);
    if (View == NULL || NewHome == NULL) {
        return FALSE;
    }
    *View = 1;
    *NewHome = 2;
    OldPte = *PteOf(View);
    return TRUE;
}

static VOID PrepareView(VOID) {
    *PteOf(View) = OldPte;
    HalInvalidatePage((ULONG64)View);
    IsMoved = FALSE;
    SeenBefore = SeenAfterwards = 0;
}

static VOID EndView(VOID) {
    PrepareView();
    KeFlushTb((PVOID)View, 1);
    MiFreePoolPages((PVOID)View, 1);
    MiFreePoolPages((PVOID)NewHome, 1);
}

static VOID ReadTwice(VOID) {
    SeenBefore = *View;
    if (IsMoved) {
        SeenAfterwards = *View;
    }
}

static VOID MoveAndFlush(VOID) {
    *PteOf(View) = *PteOf(NewHome);
    KeFlushTb((PVOID)View, 1);
    IsMoved = TRUE;
}

static VOID MoveWithoutFlush(VOID) {
    *PteOf(View) = *PteOf(NewHome);
    IsMoved = TRUE;
}

static BOOLEAN OldFrameIsOutOfUse(VOID) {
    return SeenAfterwards != 1;
}

#define NOTHING_USES_AN_OLD_TRANSLATION "once an address has moved, nothing reads its old frame"
KEXPLORE(pte_changed_and_flushed, .Rule = NOTHING_USES_AN_OLD_TRANSLATION, .Begin = BeginView, .End = EndView,
         .Prepare = PrepareView, .Run = {ReadTwice, MoveAndFlush}, .Holds = OldFrameIsOutOfUse, .SaysOne = TRUE,
         .ChangesPtes = TRUE);
KEXPLORE(broken_pte_changed_without_flush, .Rule = NOTHING_USES_AN_OLD_TRANSLATION, .Begin = BeginView, .End = EndView,
         .Prepare = PrepareView, .Run = {ReadTwice, MoveWithoutFlush}, .Holds = OldFrameIsOutOfUse, .SaysOne = TRUE,
         .ChangesPtes = TRUE, .IsBroken = TRUE);

/* test_trim.c: the clock of the working-set manager gives a page that was touched a second chance. */
#include "pagehelp.h"

#define UNTOUCHED 64
#define TOUCHED 8

static ULONG CountTransition(PUCHAR P, ULONG Pages) {
    ULONG Count = 0;
    for (ULONG Page = 0; Page < Pages; Page++) {
        Count += PageState(P + Page * PAGE_SIZE) == PageTransition;
    }
    return Count;
}

/* The machine wants half as many pages as have not been touched lately: so it needs none of the others. */
KTEST(trim_spares_touched_pages_while_there_are_untouched_ones) {
    if (!MiHasPageFile) {
        KtSkip("nothing is trimmed without a page file");
        return;
    }
    PUCHAR P = MiAllocatePoolPages(TRUE, UNTOUCHED + TOUCHED, FALSE);
    KT_REQUIRE(P != NULL);
    MmTrimAllPageable();
    for (ULONG Page = 0; Page < UNTOUCHED + TOUCHED; Page++) {
        *(volatile UCHAR *)(P + Page * PAGE_SIZE) = 1;
    }
    KIRQL OldIrql = MiAcquirePfnLock();
    for (ULONG Page = TOUCHED; Page < UNTOUCHED + TOUCHED; Page++) {
        __atomic_fetch_and(MiGetPteAddress((ULONG64)P + Page * PAGE_SIZE), ~PTE_ACCESSED, __ATOMIC_SEQ_CST);
    }
    KeFlushTb(P, UNTOUCHED + TOUCHED);
    ULONG64 HighPages = MiHighPages;
    MiHighPages = MiAvailablePages + MiModifiedList.Count + UNTOUCHED / 2;
    MiReleasePfnLock(OldIrql);
    KeSetEvent(&MiTrimEvent, IO_NO_INCREMENT, FALSE);
    KT_WAIT_UNTIL(CountTransition(P, UNTOUCHED + TOUCHED) >= UNTOUCHED / 2);
    ULONG Robbed = CountTransition(P, TOUCHED);
    OldIrql = MiAcquirePfnLock();
    MiHighPages = HighPages;
    MiReleasePfnLock(OldIrql);
    KT_EXPECT_EQ(Robbed, 0);
    MiFreePoolPages(P, UNTOUCHED + TOUCHED);
    PageCheckLists();
}

/* test_overcommit.c: more pages than frames, fewer slots than pages, no memory at all: nothing is lost or hangs. */
#include "pagehelp.h"

KTEST(overcommit_three_times_the_RAM_keeps_every_page) {
    ULONG Leave = KtIsSeeded() ? 200 : 800, Pages = 3 * Leave;
    PUCHAR P = MiAllocatePoolPages(TRUE, Pages, FALSE);
    KT_REQUIRE(P != NULL);
    MmTrimAllPageable();
    MmFlushModifiedPages(); /* all other pageable memory has its slot now */
    ULONG64 Slots = Counter(&MiSlotsUsed), Reads = Counter(&MiCounters.PageReads);
    if (MiSlotCount - Counter(&MiSlotsUsed) < Pages) {
        KtSkip("the page file is too small");
    } else if (SmallMachine(Leave)) {
        PageStress(P, Pages, KtStress(2000), 1);
        KT_EXPECT(Counter(&MiCounters.PageReads) > Reads);
    } else {
        KT_EXPECT(!"the machine cannot be made small");
    }
    SmallMachineEnd();
    PageCheckLists();
    MiFreePoolPages(P, Pages);
    MmFlushModifiedPages(); /* writes that were in flight have ended */
    KT_EXPECT(Counter(&MiSlotsUsed) <= Slots);
    PageCheckLists();
}

/* ---- A page file of few slots ---- */

static PULONG Taken;
static ULONG TakenCount;

/* All but Leave slots get an owner, and the promise shrinks with them. */
static VOID TakeSlots(ULONG64 Leave) {
    KIRQL OldIrql = MiAcquirePfnLock();
    while (MiSlotCount - Counter(&MiSlotsUsed) > Leave) {
        Taken[TakenCount++] = MiAllocateSlot();
        MiCommitLimit--;
    }
    MiReleasePfnLock(OldIrql);
}

static VOID GiveSlots(VOID) {
    KIRQL OldIrql = MiAcquirePfnLock();
    while (TakenCount != 0) {
        MiFreeSlot(Taken[--TakenCount]);
        MiCommitLimit++;
    }
    MiReleasePfnLock(OldIrql);
}

#define BLOCK_PAGES 8
#define MAXIMUM_BLOCKS 1024
#define SPARE_PAGES 48

/* Promises are kept to the last page: all that can be allocated can be filled, read and written, with the page file
 * full. */
KTEST(overcommit_full_page_file_ends_in_NULL_and_what_was_given_works) {
    ULONG SlotsLeft = KtIsSeeded() ? 250 : 300, Leave = KtIsSeeded() ? 300 : 600;
    SIZE_T Bytes = MiSlotCount * sizeof(ULONG);
    Taken = ExAllocatePoolWithTag(NonPagedPoolNx, Bytes, 'tseT');
    KT_REQUIRE(Taken != NULL);
    PUCHAR Warm = MiAllocatePoolPages(TRUE, MAXIMUM_BLOCKS * BLOCK_PAGES, FALSE); /* makes the page tables */
    KT_REQUIRE(Warm != NULL);
    MiFreePoolPages(Warm, MAXIMUM_BLOCKS * BLOCK_PAGES);
    MmFlushModifiedPages();
    KT_EXPECT(SmallMachine(Leave));
    TakeSlots(SlotsLeft);
    ULONG Blocks = 0;
    PUCHAR Base = NULL;
    PVOID Spare = MiAllocatePoolPages(FALSE, SPARE_PAGES, FALSE); /* for the stacks of the threads that come later */
    /* One piece, as large as the limit allows. */
    for (ULONG Try = MAXIMUM_BLOCKS; Try != 0 && Base == NULL; Try--) {
        Base = MiAllocatePoolPages(TRUE, Try * BLOCK_PAGES, FALSE);
        Blocks = Try;
    }
    KT_EXPECT(Base != NULL && Blocks * BLOCK_PAGES > Leave); /* more than the frames can hold */
    KT_EXPECT(MiAllocatePoolPages(TRUE, BLOCK_PAGES, FALSE) == NULL);
    KT_EXPECT(Counter(&MiCommittedPages) <= Counter(&MiCommitLimit));
    if (Base != NULL && Spare != NULL) {
        MiFreePoolPages(Spare, SPARE_PAGES);
        PageStress(Base, Blocks * BLOCK_PAGES, KtStress(1500), 2);
        PageCheckLists();
        MiFreePoolPages(Base, Blocks * BLOCK_PAGES);
    }
    GiveSlots();
    SmallMachineEnd();
    ExFreePool(Taken);
    PageCheckLists();
}

/* ---- No memory ---- */

KTEST_ALONE(overcommit_nonpaged_memory_ends_in_NULL_and_leaves_room_to_page_in) {
    enum { PAGES = 64 };
    volatile ULONG64 *P = MiAllocatePoolPages(TRUE, PAGES, FALSE);
    KT_REQUIRE(P != NULL);
    for (ULONG Page = 0; Page < PAGES / 2; Page++) {
        P[Page * 512] = Page;
    }
    KT_EXPECT(!SmallMachine(0)); /* everything that can be had */
    KT_EXPECT(MiAllocatePoolPages(FALSE, 256, FALSE) == NULL);
    KT_EXPECT(MmAllocatePhysicalPages(256) == 0);
    KT_EXPECT(MmCreateKernelStack(0x100000) == 0);
    PHYSICAL_ADDRESS Anywhere = {.QuadPart = -1};
    KT_EXPECT(MmAllocateContiguousMemory(0x100000, Anywhere) == NULL);
    PageOut((PVOID)P, PAGES);
    for (ULONG Page = 0; Page < PAGES; Page++) {
        KT_EXPECT_EQ(P[Page * 512], Page < PAGES / 2 ? Page : 0);
    }
    SmallMachineEnd();
    KT_EXPECT(MiAllocatePoolPages(TRUE, 1u << 30, FALSE) == NULL); /* no such address space */
    MiFreePoolPages((PVOID)P, PAGES);
    PageCheckLists();
}

KTEST(overcommit_thread_waits_for_a_page_until_there_is_one) {
    enum { PAGES = 400 };
    volatile ULONG64 *P = MiAllocatePoolPages(TRUE, PAGES, FALSE);
    KT_REQUIRE(P != NULL);
    KT_EXPECT(SmallMachine(200));
    for (ULONG Page = 0; Page < PAGES; Page++) {
        P[Page * 512] = ~(ULONG64)Page; /* twice the frames: the writer must make room */
    }
    for (ULONG Page = 0; Page < PAGES; Page++) {
        KT_EXPECT_EQ(P[Page * 512], ~(ULONG64)Page);
    }
    SmallMachineEnd();
    MiFreePoolPages((PVOID)P, PAGES);
    PageCheckLists();
}

/* ---- Zeroed pages ---- */

KTEST(overcommit_zeroed_list_holds_only_zeros) {
    ULONG64 Frames[16];
    ULONG Count = 0;
    KT_WAIT_UNTIL(MiZeroedList.Count != 0);
    KIRQL OldIrql = MiAcquirePfnLock();
    while (Count < RTL_NUMBER_OF(Frames) && MiZeroedList.Count != 0) {
        BOOLEAN IsZeroed;
        Frames[Count++] = MiTakePage(TRUE, &IsZeroed);
        KT_EXPECT(IsZeroed);
    }
    MiReleasePfnLock(OldIrql);
    for (ULONG Index = 0; Index < Count; Index++) {
        const ULONG64 *Words = MmPhysicalToVirtual(Frames[Index] << PAGE_SHIFT);
        for (ULONG Word = 0; Word < 512; Word++) {
            KT_EXPECT_EQ(Words[Word], 0);
        }
        OldIrql = MiAcquirePfnLock();
        MiGivePage(MiGetPfn(Frames[Index]), TRUE);
        MiReleasePfnLock(OldIrql);
    }
}

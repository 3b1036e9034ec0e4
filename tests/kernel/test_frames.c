/* test_frames.c: frames change their owners: no owner sees another's bytes, and the last ones go to those that make
 * room. */
#include "pagehelp.h"

#define LEAVE 400
#define ROUNDS 4

/* Takes frames until no more than Leave are available, or none is to be had; they hang together by MMPFN.Next. Lock held. */
static ULONG64 TakeFrames(ULONG64 Leave) {
    ULONG64 First = MI_END, Frame;
    BOOLEAN IsZeroed;
    while (MiAvailablePages > Leave && (Frame = MiTakePage(FALSE, &IsZeroed)) != 0) {
        MiGetPfn(Frame)->Next = First;
        First = Frame;
    }
    return First;
}

static VOID GiveFrames(ULONG64 Frame) {
    while (Frame != MI_END) {
        ULONG64 Next = MiGetPfn(Frame)->Next;
        MiGivePage(MiGetPfn(Frame), FALSE);
        Frame = Next;
    }
}

static ULONG64 AnyBitOf(PUCHAR P, ULONG Pages) {
    ULONG64 Bits = 0;
    for (ULONG Word = 0; Word < Pages * PAGE_SIZE / sizeof(ULONG64); Word += 7) {
        Bits |= ((volatile ULONG64 *)P)[Word];
    }
    return Bits;
}

/* Where few frames are left the same ones come round soon; the zero-page thread and the trimmer are kept away. */
KTEST_ALONE(frames_of_others_come_as_zeros) {
    ULONG Pages = LEAVE / 2;
    KIRQL OldIrql = MiAcquirePfnLock();
    ULONG64 ZeroedTarget = MiZeroedTarget, LowPages = MiLowPages, HighPages = MiHighPages;
    MiZeroedTarget = MiLowPages = MiHighPages = 0;
    ULONG64 Taken = TakeFrames(LEAVE);
    MiReleasePfnLock(OldIrql);
    for (ULONG Round = 0; Round < ROUNDS; Round++) {
        PUCHAR P = MiAllocatePoolPages(TRUE, Pages, FALSE);
        KT_EXPECT(P != NULL);
        if (P != NULL) {
            KT_EXPECT_EQ(AnyBitOf(P, Pages), 0);
            memset(P, 0xCC, Pages * PAGE_SIZE);
            MiFreePoolPages(P, Pages);
        }
    }
    OldIrql = MiAcquirePfnLock();
    MiZeroedTarget = ZeroedTarget;
    MiLowPages = LowPages;
    MiHighPages = HighPages;
    GiveFrames(Taken);
    MiReleasePfnLock(OldIrql);
    PageCheckLists();
}

/* This thread is neither the trimmer nor the writer. */
KTEST_ALONE(frames_of_the_reserve_are_not_given_to_others) {
    KIRQL OldIrql = MiAcquirePfnLock();
    ULONG64 Taken = TakeFrames(0);
    ULONG64 Left = MiAvailablePages;
    GiveFrames(Taken);
    MiReleasePfnLock(OldIrql);
    KT_EXPECT_EQ(Left, MI_RESERVED_PAGES);
    PageCheckLists();
}

/* zeropage.c: zeroing free pages in idle time, so that faults find them ready. */
#include "mi.h"
#include <ps.h>

KEVENT MiZeroEvent;
BOOLEAN MiIsZeroWanted = TRUE; /* until the thread runs there is no need to wake it */
ULONG64 MiZeroedTarget;

/* Clears a frame through the direct map, with unrolled stores: half the cost of rep stosq under emulation. */
VOID MiZeroFrame(ULONG64 Frame) {
    PVOID Va = MmPhysicalToVirtual(Frame << PAGE_SHIFT);
    ULONG64 Count = PAGE_SIZE / (64 * 8);
    __asm__ volatile("1:\n\t"
                     ".set offset, 0\n\t"
                     ".rept 64\n\t"
                     "mov %2, offset(%0)\n\t"
                     ".set offset, offset + 8\n\t"
                     ".endr\n\t"
                     "add $512, %0\n\t"
                     "dec %1\n\t"
                     "jnz 1b"
                     : "+r"(Va), "+r"(Count)
                     : "r"(0ULL)
                     : "memory", "cc");
}

/* Moves one page from the free to the zeroed list; FALSE when that is not needed or not possible. */
static BOOLEAN ZeroOnePage(VOID) {
    KIRQL OldIrql = MiAcquirePfnLock();
    BOOLEAN IsNeeded = MiZeroedList.Count < MiZeroedTarget && MiFreeList.Count > MI_RESERVED_PAGES;
    PMMPFN Pfn = NULL;
    if (IsNeeded) {
        Pfn = MiGetPfn(MiFreeList.First);
        MiUnlinkPage(Pfn);
    } else {
        MiIsZeroWanted = FALSE;
    }
    MiReleasePfnLock(OldIrql);
    if (IsNeeded) {
        MiZeroFrame(MiGetFrame(Pfn));
        OldIrql = MiAcquirePfnLock();
        MiGivePage(Pfn, TRUE);
        MiReleasePfnLock(OldIrql);
    }
    return IsNeeded;
}

static VOID ZeroPageThread(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    for (;;) {
        while (ZeroOnePage()) {
        }
        KeWaitForSingleObject(&MiZeroEvent, WrFreePage, KernelMode, FALSE, NULL);
    }
}

/* PASSIVE_LEVEL. */
NTSTATUS MiStartZeroThread(VOID) {
    return PsCreateNamedThread(NULL, "zero-page", 0, ZeroPageThread, NULL);
}

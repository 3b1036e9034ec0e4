/* bench_memory.c: the cost of a small allocation, and of the first touch of a page. */
#include "ktest.h"
#include "pagehelp.h"

#define TAG 'hcnB' /* "Bnch" */

KBENCH(BenchPool, "pool allocate + free, 64 bytes", "instructions", 150) {
    return KT_MEASURE(ExFreePoolWithTag(ExAllocatePoolWithTag(NonPagedPoolNx, 64, TAG), TAG));
}

KBENCH(BenchPagedPool, "paged pool allocate + free, 64 bytes", "instructions", 0) {
    return KT_MEASURE(ExFreePoolWithTag(ExAllocatePoolWithTag(PagedPool, 64, TAG), TAG));
}

KBENCH(BenchPoolPages, "pool allocate + free, two nonpaged pages", "instructions", 0) {
    return KT_MEASURE(ExFreePoolWithTag(ExAllocatePoolWithTag(NonPagedPoolNx, 2 * PAGE_SIZE, TAG), TAG));
}

/* The first pages use up those that the zero-page thread has cleared in advance; the others are cleared in the fault.
 * We never wait meanwhile, so that thread cannot make new ones. */
KBENCH(BenchDemandZero, "demand-zero fault, with the zeroing of the page", "instructions", 1000) {
    enum { CLEARED_BEFORE = 2048, BATCH = 64, BATCHES = 16 };
    ULONG64 Quickest = ~0ULL, Empty = KT_QUICKEST((void)0);
    volatile UCHAR *P = ExAllocatePoolWithTag(PagedPool, (CLEARED_BEFORE + BATCH * BATCHES) * PAGE_SIZE, TAG);
    if (P == NULL) {
        return 0;
    }
    volatile UCHAR *Next = P;
    for (ULONG Page = 0; Page < CLEARED_BEFORE; Page++, Next += PAGE_SIZE) {
        *Next = 1;
    }
    for (ULONG Batch = 0; Batch < BATCHES; Batch++) {
        ULONG64 Start = __rdtsc();
        for (ULONG Page = 0; Page < BATCH; Page++, Next += PAGE_SIZE) {
            *Next = 1;
        }
        ULONG64 Spent = __rdtsc() - Start;
        Quickest = Spent < Quickest ? Spent : Quickest;
    }
    ExFreePoolWithTag((PVOID)P, TAG);
    return (Quickest - Empty) * 100 / BATCH;
}

KBENCH(BenchPool2, "ExAllocatePool2 + free, 64 bytes, cleared", "instructions", 0) {
    return KT_MEASURE(ExFreePoolWithTag(ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG), TAG));
}

KBENCH(BenchPoolPage, "pool allocate + free, one nonpaged page", "instructions", 0) {
    return KT_MEASURE(ExFreePoolWithTag(ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, TAG), TAG));
}

/* On the last CPU, whose parked blocks are its own. */
KBENCH(BenchPoolOtherCpu, "pool allocate + free, 512 bytes, another CPU's own blocks", "instructions", 0) {
    KtPin(KeNumberProcessors - 1);
    ULONG64 Cost = KT_MEASURE(ExFreePoolWithTag(ExAllocatePoolWithTag(NonPagedPoolNx, 512, TAG), TAG));
    KtPin(0);
    return Cost;
}

static ULONG64 QuickestTouch(VOID (*Prepare)(PVOID Va, ULONG Pages)) {
    volatile UCHAR *P = ExAllocatePoolWithTag(PagedPool, PAGE_SIZE, TAG);
    ULONG64 Quickest = ~0ULL;
    for (ULONG Round = 0; P != NULL && Round < 16; Round++) {
        *P = (UCHAR)Round;
        Prepare((PVOID)P, 1);
        ULONG64 Start = __rdtsc();
        (void)*P;
        ULONG64 Spent = __rdtsc() - Start;
        Quickest = Spent < Quickest ? Spent : Quickest;
    }
    if (P != NULL) {
        ExFreePoolWithTag((PVOID)P, TAG);
    }
    return Quickest * 100;
}

static VOID TrimPages(PVOID Va, ULONG Pages) {
    MmTrimRange(Va, (SIZE_T)Pages * PAGE_SIZE);
}

KBENCH(BenchTransition, "transition fault", "instructions", 0) {
    return QuickestTouch(TrimPages);
}

KBENCH(BenchPageIn, "page-in from the page file, with the wait for the disk", "instructions", 0) {
    return QuickestTouch(PageOut);
}

/* bench_memory.c: what a small allocation costs, and the first touch of a page. */
#include "ktest.h"

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

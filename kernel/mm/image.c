/* image.c: memory for driver images: a region, partly pageable, each page with its section's rights.
 *
 * The loader reserves the image's address space, puts pages behind it section by section, writes and relocates through
 * read-write mappings, and takes the right to write or to execute away at the end. A pageable page carries its
 * protection through every state: in the PTE's W and NX bits while valid, in bits 5-9 otherwise. */
#include "mi.h"

/* See mm.h. One page behind the image stays unmapped. PASSIVE_LEVEL. */
PVOID MmReserveDriverImage(SIZE_T Bytes) {
    return Bytes == 0 ? NULL : (PVOID)MiReserveRange(&MiImageRange, BYTES_TO_PAGES(Bytes) + 1);
}

/* See mm.h. Va is page aligned, inside one reservation, and has no pages yet. PASSIVE_LEVEL. */
NTSTATUS MmPopulateImage(PVOID Va, SIZE_T Bytes, BOOLEAN IsPageable) {
    ULONG64 Pages = BYTES_TO_PAGES(Bytes);
    NT_ASSERT(BYTE_OFFSET(Va) == 0);
    if (Pages == 0) {
        return STATUS_SUCCESS;
    }
    BOOLEAN IsMapped = IsPageable ? MiMapDemandZeroPages((ULONG64)Va, Pages)
                                  : MiMapResidentPages((ULONG64)Va, Pages, MI_DATA_BITS, TRUE);
    return IsMapped ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

/* One PTE; the CPU may set A and D of a valid one meanwhile. MmPfnLock held. */
static VOID ProtectPte(volatile MMPTE *Pte, ULONG Protection) {
    MMPTE Old = *Pte, New;
    if (Old == 0) {
        return;
    }
    do {
        New = Old & PTE_VALID ? (Old & ~(PTE_WRITE | PTE_NX)) | MiProtectionToHardware(Protection)
                              : (Old & ~MI_PROTECTION_MASK) | (MMPTE)Protection << PTE_PROTECTION_SHIFT;
    } while (!__atomic_compare_exchange_n(Pte, &Old, New, FALSE, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
}

/* See mm.h. Every CPU sees the new rights on return. <= DISPATCH_LEVEL, no lock held. */
VOID MmProtectImage(PVOID Va, SIZE_T Bytes, ULONG Protection) {
    ULONG64 Start = (ULONG64)PAGE_ALIGN(Va), Pages = ADDRESS_AND_SIZE_TO_SPAN_PAGES(Va, Bytes);
    for (ULONG64 Done = 0; Done < Pages; Done += MI_FLUSH_BATCH) {
        ULONG64 Batch = Pages - Done < MI_FLUSH_BATCH ? Pages - Done : MI_FLUSH_BATCH;
        KIRQL OldIrql = MiAcquirePfnLock();
        for (ULONG64 Page = Done; Page < Done + Batch; Page++) {
            ProtectPte(MiGetPteAddress(Start + (Page << PAGE_SHIFT)), Protection);
        }
        MiFlushTb(Start + (Done << PAGE_SHIFT), Batch);
        MiReleasePfnLock(OldIrql);
    }
}

static BOOLEAN HasTableFor(ULONG64 Va) {
    ULONG Level;
    MiReadPte(Va, &Level);
    return Level == 1;
}

/* See mm.h. Pages that were never populated are skipped. PASSIVE_LEVEL. */
VOID MmDiscardImage(PVOID Va, SIZE_T Bytes) {
    for (ULONG64 Page = 0; Page < BYTES_TO_PAGES(Bytes); Page++) {
        ULONG64 At = (ULONG64)Va + (Page << PAGE_SHIFT);
        if (HasTableFor(At) && *MiGetPteAddress(At) != 0) {
            MiUnmapPages(At, 1);
        }
    }
}

/* See mm.h. Va and Bytes as for MmReserveDriverImage. PASSIVE_LEVEL. */
VOID MmReleaseDriverImage(PVOID Va, SIZE_T Bytes) {
    MmDiscardImage(Va, Bytes);
    MiReleaseRange(&MiImageRange, (ULONG64)Va, BYTES_TO_PAGES(Bytes) + 1);
}

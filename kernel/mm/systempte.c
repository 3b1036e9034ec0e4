/* systempte.c: address space outside the pools: device registers, and resident pages of the kernel. */
#include "mi.h"

/* Documented: maps device memory. The system-PTE region gets one guard page behind each mapping. MmNonCached is
 * uncached; write combining would need the PAT, so such a mapping is "uncached unless the MTRRs say better".
 * <= DISPATCH_LEVEL; NULL: no room. */
PVOID MmMapIoSpace(PHYSICAL_ADDRESS PhysicalAddress, SIZE_T NumberOfBytes, MEMORY_CACHING_TYPE CacheType) {
    ULONG64 Physical = (ULONG64)PhysicalAddress.QuadPart;
    ULONG64 Pages = ADDRESS_AND_SIZE_TO_SPAN_PAGES(Physical, NumberOfBytes);
    MMPTE Bits = MI_DATA_BITS | (CacheType == MmNonCached ? PTE_CACHE_DISABLE | PTE_WRITE_THROUGH
                                 : CacheType == MmCached  ? 0
                                                          : PTE_CACHE_DISABLE);
    ULONG64 Va = NumberOfBytes == 0 ? 0 : MiReserveRange(&MiSystemRange, Pages + 1);
    if (Va == 0) {
        return NULL;
    }
    KIRQL OldIrql = MiAcquirePfnLock();
    BOOLEAN HasTables = MiMakePageTables(Va, Pages);
    MiReleasePfnLock(OldIrql);
    if (!HasTables) {
        MiReleaseRange(&MiSystemRange, Va, Pages + 1);
        return NULL;
    }
    for (ULONG64 Page = 0; Page < Pages; Page++) {
        *MiGetPteAddress(Va + (Page << PAGE_SHIFT)) = ((Physical & PTE_FRAME) + (Page << PAGE_SHIFT)) | Bits;
    }
    return (PVOID)(Va + BYTE_OFFSET(Physical));
}

/* Is all of it mapped, by us? */
BOOLEAN MiIsMapping(ULONG64 Va, ULONG64 Pages) {
    const MI_RANGE *Range = &MiSystemRange;
    if (Pages == 0 || Va < Range->Start || Pages > Range->Pages || (Va - Range->Start) >> PAGE_SHIFT >= Range->Pages) {
        return FALSE;
    }
    for (ULONG64 Page = 0; Page < Pages; Page++) {
        if (!MmIsAddressValid((PVOID)(Va + (Page << PAGE_SHIFT)))) {
            return FALSE;
        }
    }
    return TRUE;
}

/* Documented: with the address and length of the mapping. <= DISPATCH_LEVEL. No such mapping: 0xDA (0x400, address,
 * pages, 0). */
VOID MmUnmapIoSpace(PVOID BaseAddress, SIZE_T NumberOfBytes) {
    ULONG64 Va = (ULONG64)PAGE_ALIGN(BaseAddress), Pages = ADDRESS_AND_SIZE_TO_SPAN_PAGES(BaseAddress, NumberOfBytes);
    if (!MiIsMapping(Va, Pages)) {
        KeBugCheckEx(SYSTEM_PTE_MISUSE, PTE_NO_IO_MAPPING, (ULONG_PTR)BaseAddress, Pages, 0);
    }
    for (ULONG64 Page = 0; Page < Pages; Page++) {
        *MiGetPteAddress(Va + (Page << PAGE_SHIFT)) = 0;
    }
    MiFlushTb(Va, Pages);
    MiReleaseRange(&MiSystemRange, Va, Pages + 1);
}

/* See mm.h: zeroed, read-write, no-execute, never given back. <= DISPATCH_LEVEL. NULL: no memory. */
PVOID MmAllocateMappedPages(MM_REGION_KIND Kind, SIZE_T Bytes) {
    MI_RANGE *Range = Kind == RegionDriverImages ? &MiImageRange : &MiSystemRange;
    ULONG64 Pages = BYTES_TO_PAGES(Bytes), Va = Pages == 0 ? 0 : MiReserveRange(Range, Pages + 1);
    if (Va == 0) {
        return NULL;
    }
    if (!MiMapResidentPages(Va, Pages, MI_DATA_BITS, TRUE)) {
        MiReleaseRange(Range, Va, Pages + 1);
        return NULL;
    }
    return (PVOID)Va;
}

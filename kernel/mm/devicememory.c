/* devicememory.c: memory for devices, asked for with a cache type: uncached, and contiguous between limits. */
#include "mi.h"

/* Documented: page-aligned resident memory that is not cached; NULL: no memory. <= APC_LEVEL (here <= DISPATCH_LEVEL). */
PVOID MmAllocateNonCachedMemory(SIZE_T NumberOfBytes) {
    ULONG64 Pages = BYTES_TO_PAGES(NumberOfBytes), Va = Pages == 0 ? 0 : MiReserveRange(&MiSystemRange, Pages + 1);
    if (Va != 0 && !MiMapResidentPages(Va, Pages, MI_DATA_BITS | PTE_CACHE_DISABLE | PTE_WRITE_THROUGH, FALSE)) {
        MiReleaseRange(&MiSystemRange, Va, Pages + 1);
        Va = 0;
    }
    return (PVOID)Va;
}

/* Documented: with the address and length of the allocation, otherwise 0xDA (0x400, ...). Same IRQL. */
VOID MmFreeNonCachedMemory(PVOID BaseAddress, SIZE_T NumberOfBytes) {
    ULONG64 Va = (ULONG64)BaseAddress, Pages = BYTES_TO_PAGES(NumberOfBytes);
    if (BYTE_OFFSET(Va) != 0 || !MiIsMapping(Va, Pages)) {
        KeBugCheckEx(SYSTEM_PTE_MISUSE, PTE_NO_IO_MAPPING, Va, Pages, 0);
    }
    MiUnmapPages(Va, Pages);
    MiReleaseRange(&MiSystemRange, Va, Pages + 1);
}

/* Documented: as MmAllocateContiguousMemory, at or above a lowest address too, and across no multiple of a power of two (0: any). Every
 * device of this machine sees the caches, so the direct map's cached address serves each cache type.
 * <= DISPATCH_LEVEL. */
PVOID MmAllocateContiguousMemorySpecifyCache(SIZE_T NumberOfBytes, PHYSICAL_ADDRESS LowestAcceptableAddress,
                                             PHYSICAL_ADDRESS HighestAcceptableAddress,
                                             PHYSICAL_ADDRESS BoundaryAddressMultiple, MEMORY_CACHING_TYPE CacheType) {
    UNREFERENCED_PARAMETER(CacheType);
    MI_RUN_LIMITS Limits = {BYTES_TO_PAGES(LowestAcceptableAddress.QuadPart),
                            MiHighestFrameBelow((ULONG64)HighestAcceptableAddress.QuadPart),
                            (ULONG64)BoundaryAddressMultiple.QuadPart >> PAGE_SHIFT};
    ULONG64 Frame = MiTakeRun(BYTES_TO_PAGES(NumberOfBytes), &Limits);
    return Frame == 0 ? NULL : MmPhysicalToVirtual(Frame << PAGE_SHIFT);
}

/* Documented: as MmFreeContiguousMemory. */
VOID MmFreeContiguousMemorySpecifyCache(PVOID BaseAddress, SIZE_T NumberOfBytes, MEMORY_CACHING_TYPE CacheType) {
    UNREFERENCED_PARAMETER(NumberOfBytes);
    UNREFERENCED_PARAMETER(CacheType);
    MmFreeContiguousMemory(BaseAddress);
}

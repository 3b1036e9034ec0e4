/* layout.c: the table of address regions: the layout of the kernel's half of the address space.
 *
 * The fault handler, the blue screen, the debugger and the documents read it; these numbers are nowhere else.
 * Each region begins at the address that mm.h gives and ends where the next one could begin. */
#include "mi.h"

static const MM_REGION Regions[] = {
    {RegionDirectMap, MM_DIRECT_MAP, 0xFFFF890000000000ULL, "direct map of RAM"},
    {RegionPageTables, MM_PTE_BASE, 0xFFFFF70000000000ULL, "page tables"},
    {RegionSystemPtes, MM_SYSTEM_PTES, MM_PAGED_POOL, "system PTEs"},
    {RegionPagedPool, MM_PAGED_POOL, MM_STACKS, "paged pool"},
    {RegionStacks, MM_STACKS, 0xFFFFF98000000000ULL, "kernel stacks"},
    {RegionSpecialPool, MM_SPECIAL_POOL, MM_SPECIAL_PAGED_POOL, "special pool"},
    {RegionSpecialPagedPool, MM_SPECIAL_PAGED_POOL, MM_PFN_DATABASE, "paged special pool"},
    {RegionPfnDatabase, MM_PFN_DATABASE, MM_NONPAGED_POOL, "PFN database"},
    {RegionNonPagedPool, MM_NONPAGED_POOL, MM_SYSTEM_CACHE, "nonpaged pool"},
    {RegionSystemCache, MM_SYSTEM_CACHE, MM_SYSTEM_CACHE_END, "system cache"},
    {RegionKernelImage, MM_KERNEL_BASE, MM_DRIVER_IMAGES, "kernel image"},
    {RegionDriverImages, MM_DRIVER_IMAGES, MM_DRIVER_IMAGES_END, "driver images"},
    {RegionNone, 0, 0, "no region"},
};
#define REGION_COUNT (sizeof(Regions) / sizeof(Regions[0]) - 1)

/* The region of an address; the last row, RegionNone, when it is in none. Any IRQL, never faults. */
const MM_REGION *MmFindRegion(ULONG64 Va) {
    ULONG Index = 0;
    while (Index < REGION_COUNT && (Va < Regions[Index].Start || Va >= Regions[Index].End)) {
        Index++;
    }
    return &Regions[Index];
}

/* All regions in ascending order, without the last row. Any IRQL. */
const MM_REGION *MmGetRegions(ULONG *Count) {
    *Count = REGION_COUNT;
    return Regions;
}

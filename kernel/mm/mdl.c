/* mdl.c: memory descriptor lists filled in, locked and mapped: the frames behind a buffer.
 *
 * MmProbeAndLockPages makes the pages of a pageable buffer resident and locks their frames: the trimmer leaves a locked
 * frame alone, so the buffer may be touched at DISPATCH_LEVEL, through its own address or through a mapping in the
 * system-PTE region, until MmUnlockPages. */
#include "mi.h"

#define USER_END 0x0000800000000000ULL
#define MM_PAGE_NOT_LOCKED_FOR_MAPPING 0x1233 /* sub-codes of MEMORY_MANAGEMENT */
#define MM_MDL_PAGE_NOT_LOCKED 0x1236

static ULONG PagesOf(PMDL Mdl) {
    return (ULONG)ADDRESS_AND_SIZE_TO_SPAN_PAGES(MmGetMdlVirtualAddress(Mdl), Mdl->ByteCount);
}

/* Any IRQL: the buffer is in nonpaged pool, and no more is said about it. wdm.h: MmBuildMdlForNonPagedPool. */
VOID MmBuildMdlForNonPagedPool(PMDL MemoryDescriptorList) {
    PPFN_NUMBER Frames = MmGetMdlPfnArray(MemoryDescriptorList);
    for (ULONG Page = 0; Page < PagesOf(MemoryDescriptorList); Page++) {
        PUCHAR Va = (PUCHAR)MemoryDescriptorList->StartVa + ((ULONG64)Page << PAGE_SHIFT);
        Frames[Page] = (PFN_NUMBER)MmGetPhysicalAddress(Va).QuadPart >> PAGE_SHIFT;
    }
    MemoryDescriptorList->MdlFlags |= MDL_SOURCE_IS_NONPAGED_POOL;
    MemoryDescriptorList->MappedSystemVa = MmGetMdlVirtualAddress(MemoryDescriptorList);
}

/* <= APC_LEVEL, may wait; <= DISPATCH_LEVEL if the buffer is resident. A user address raises STATUS_ACCESS_VIOLATION, an
 * address where nothing is stops the machine as a touch of it would. wdm.h: MmProbeAndLockPages. */
VOID MmProbeAndLockPages(PMDL MemoryDescriptorList, KPROCESSOR_MODE AccessMode, LOCK_OPERATION Operation) {
    PMDL Mdl = MemoryDescriptorList;
    PPFN_NUMBER Frames = MmGetMdlPfnArray(Mdl);
    UNREFERENCED_PARAMETER(AccessMode);
    if ((ULONG64)Mdl->StartVa < USER_END) {
        ExRaiseStatus(STATUS_ACCESS_VIOLATION);
    }
    for (ULONG Page = 0; Page < PagesOf(Mdl); Page++) {
        PUCHAR Va = (PUCHAR)Mdl->StartVa + ((ULONG64)Page << PAGE_SHIFT);
        Frames[Page] = MiLockPage((ULONG64)Va);
        if (Frames[Page] == 0) { /* device memory: there is nothing to lock */
            Frames[Page] = (PFN_NUMBER)MmGetPhysicalAddress(Va).QuadPart >> PAGE_SHIFT;
        }
    }
    Mdl->MdlFlags |= MDL_PAGES_LOCKED | (Operation == IoReadAccess ? 0 : MDL_WRITE_OPERATION);
}

/* <= DISPATCH_LEVEL. Takes the MDL's mapping back too. An MDL that is not locked: 0x1A (0x1236, MDL, entry, frame).
 * wdm.h: MmUnlockPages. */
VOID MmUnlockPages(PMDL MemoryDescriptorList) {
    PMDL Mdl = MemoryDescriptorList;
    PPFN_NUMBER Frames = MmGetMdlPfnArray(Mdl);
    if (!(Mdl->MdlFlags & MDL_PAGES_LOCKED)) {
        KeBugCheckEx(MEMORY_MANAGEMENT, MM_MDL_PAGE_NOT_LOCKED, (ULONG_PTR)Mdl, (ULONG_PTR)Frames, Frames[0]);
    }
    if (Mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) {
        MmUnmapLockedPages(Mdl->MappedSystemVa, Mdl);
    }
    for (ULONG Page = 0; Page < PagesOf(Mdl); Page++) {
        if (MiIsRamFrame(Frames[Page])) {
            MiUnlockPage(Frames[Page], (Mdl->MdlFlags & MDL_WRITE_OPERATION) != 0);
        }
    }
    Mdl->MdlFlags &= ~(MDL_PAGES_LOCKED | MDL_WRITE_OPERATION);
}

/* Address space with PTEs for the frames. 0: none to be had. */
static ULONG64 MapFrames(const PFN_NUMBER *Frames, ULONG Pages, MMPTE Bits) {
    ULONG64 Va = MiReserveRange(&MiSystemRange, Pages + 1); /* a guard page behind it */
    if (Va == 0) {
        return 0;
    }
    KIRQL OldIrql = MiAcquirePfnLock();
    BOOLEAN HasTables = MiMakePageTables(Va, Pages);
    MiReleasePfnLock(OldIrql);
    if (!HasTables) {
        MiReleaseRange(&MiSystemRange, Va, Pages + 1);
        return 0;
    }
    for (ULONG Page = 0; Page < Pages; Page++) {
        *MiGetPteAddress(Va + ((ULONG64)Page << PAGE_SHIFT)) = Frames[Page] << PAGE_SHIFT | Bits;
    }
    return Va;
}

/* <= DISPATCH_LEVEL. The address of the buffer's first byte in a mapping of its own; NULL: no address space. There is no
 * user mode to map into, and RequestedAddress means only that. A RAM page that is not locked: 0x1A (0x1233, frame).
 * wdm.h: MmMapLockedPagesSpecifyCache. */
PVOID MmMapLockedPagesSpecifyCache(PMDL MemoryDescriptorList, KPROCESSOR_MODE AccessMode, MEMORY_CACHING_TYPE CacheType,
                                   PVOID RequestedAddress, ULONG BugCheckOnFailure, ULONG Priority) {
    PMDL Mdl = MemoryDescriptorList;
    PPFN_NUMBER Frames = MmGetMdlPfnArray(Mdl);
    UNREFERENCED_PARAMETER(AccessMode);
    UNREFERENCED_PARAMETER(RequestedAddress);
    UNREFERENCED_PARAMETER(BugCheckOnFailure);
    if (!(Mdl->MdlFlags & (MDL_PAGES_LOCKED | MDL_PARTIAL | MDL_SOURCE_IS_NONPAGED_POOL))) {
        KeBugCheckEx(MEMORY_MANAGEMENT, MM_PAGE_NOT_LOCKED_FOR_MAPPING, Frames[0], 0, 0);
    }
    MMPTE Bits = MI_DATA_BITS & ~(Priority & MdlMappingNoWrite ? PTE_WRITE : 0);
    Bits |= CacheType == MmCached ? 0 : PTE_CACHE_DISABLE | (CacheType == MmNonCached ? PTE_WRITE_THROUGH : 0);
    ULONG64 Va = MapFrames(Frames, PagesOf(Mdl), Bits);
    if (Va == 0) {
        return NULL;
    }
    Mdl->MappedSystemVa = (PVOID)(Va + Mdl->ByteOffset);
    Mdl->MdlFlags |= MDL_MAPPED_TO_SYSTEM_VA | (Mdl->MdlFlags & MDL_PARTIAL ? MDL_PARTIAL_HAS_BEEN_MAPPED : 0);
    return Mdl->MappedSystemVa;
}

/* <= DISPATCH_LEVEL. wdm.h: MmMapLockedPages. */
PVOID MmMapLockedPages(PMDL MemoryDescriptorList, KPROCESSOR_MODE AccessMode) {
    return MmMapLockedPagesSpecifyCache(MemoryDescriptorList, AccessMode, MmCached, NULL, TRUE, HighPagePriority);
}

/* <= DISPATCH_LEVEL. With the address that the mapping gave. An MDL that is not mapped: 0xDA (0x400, address, pages, 0).
 * wdm.h: MmUnmapLockedPages. */
VOID MmUnmapLockedPages(PVOID BaseAddress, PMDL MemoryDescriptorList) {
    PMDL Mdl = MemoryDescriptorList;
    ULONG64 Va = (ULONG64)PAGE_ALIGN(BaseAddress);
    ULONG Pages = PagesOf(Mdl);
    if (!(Mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) || Va < MM_SYSTEM_PTES || Va >= MM_PAGED_POOL) {
        KeBugCheckEx(SYSTEM_PTE_MISUSE, 0x400, (ULONG_PTR)BaseAddress, Pages, 0);
    }
    for (ULONG Page = 0; Page < Pages; Page++) {
        *MiGetPteAddress(Va + ((ULONG64)Page << PAGE_SHIFT)) = 0;
    }
    MiFlushTb(Va, Pages);
    MiReleaseRange(&MiSystemRange, Va, Pages + 1);
    Mdl->MdlFlags &= ~(MDL_MAPPED_TO_SYSTEM_VA | MDL_PARTIAL_HAS_BEEN_MAPPED);
    Mdl->MappedSystemVa = NULL;
}

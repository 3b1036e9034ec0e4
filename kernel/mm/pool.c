/* pool.c: ExAllocatePool and ExFreePool: small blocks from pages, large ones as pages, all tagged.
 *
 * Three heaps: nonpaged (executable, as NT's old NonPagedPool is), nonpaged no-execute, paged. A request goes
 *
 *     parked block of this CPU -> free block of the heap -> new page of the heap       (up to POOL_SMALL_LIMIT bytes)
 *     whole pages, remembered in bigpool.c                                             (above it)
 *
 * The nonpaged heaps are guarded by a spin lock and usable up to DISPATCH_LEVEL. The paged heap's own headers and
 * lists are paged memory: walking them may fault and wait for the disk, so its lock is a mutex that can be slept on,
 * and its limit is APC_LEVEL. A new block is not cleared, except by ExAllocatePool2. Documented under:
 * ExAllocatePoolWithTag, ExAllocatePool2, ExFreePoolWithTag.
 */
#include "mi.h"
#include "poollookaside.h"
#include <ring.h>

#define POOL_BASE_MASK 7
#define POOL_MUST_SUCCEED 2
#define POOL_CACHE_ALIGNED 4
#define POOL_NX 512
#define POOL_ZERO 1024
#define CACHE_LINE_UNITS 4

const MI_SPECIAL_POOL *MiSpecialPool;
KE_DECLARE_LOCK(MiPoolLock, RANK_POOL, "blocks and free lists of the nonpaged heaps");
static FAST_MUTEX PagedPoolMutex; /* guards the paged heap; taken before MiPoolLock */

POOL_HEAP MiPoolHeap[POOL_HEAPS];
POOL_PARKS *MiPoolParks[MAXIMUM_PROCESSORS];

/* Boot CPU, once, when MiAllocatePoolPages works. */
VOID MiInitializePool(VOID) {
    ExInitializeFastMutex(&PagedPoolMutex);
    for (ULONG Index = 0; Index < POOL_HEAPS; Index++) {
        MiInitializePoolHeap(&MiPoolHeap[Index], Index);
    }
}

/* Pages for a heap; NULL when there are none. IRQL as the heap's. */
PVOID MiGetHeapPages(PPOOL_HEAP Heap, SIZE_T Pages) {
    return MiAllocatePoolPages(MiIsPagedHeap(Heap), (ULONG)Pages, Heap->Index == POOL_HEAP_EXECUTABLE);
}

VOID MiReleaseHeapPages(PVOID Va, SIZE_T Pages) {
    MiFreePoolPages(Va, (ULONG)Pages);
}

static KIRQL LockHeap(PPOOL_HEAP Heap) {
    if (MiIsPagedHeap(Heap)) {
        ExAcquireFastMutex(&PagedPoolMutex);
        return APC_LEVEL;
    }
    return KeAcquireSpinLockRaiseToDpc(&MiPoolLock);
}

static VOID UnlockHeap(PPOOL_HEAP Heap, KIRQL OldIrql) {
    if (MiIsPagedHeap(Heap)) {
        ExReleaseFastMutex(&PagedPoolMutex);
    } else {
        KeReleaseSpinLock(&MiPoolLock, OldIrql);
    }
}

/* ---- Allocating ---- */

/* A tag is four characters, at least one of them a letter or a digit; 0 and "BIG " are not for callers. */
static VOID CheckTag(POOL_TYPE PoolType, SIZE_T Bytes, ULONG Tag, PVOID Caller) {
    BOOLEAN HasAlphanumeric = FALSE;
    if (Tag == 0) {
        MiStopForPool(PoolTagZero, PoolType, Bytes, (ULONG_PTR)Caller);
    }
    if (Tag == ' GIB') {
        MiStopForPool(PoolTagBig, PoolType, Bytes, (ULONG_PTR)Caller);
    }
    for (ULONG Rest = Tag & ~PROTECTED_POOL; Rest != 0; Rest >>= 8) {
        UCHAR Digit = (UCHAR)((Rest & 0xFF) - '0'), Letter = (UCHAR)((Rest | 0x20) & 0xFF) - 'a';
        HasAlphanumeric |= Digit < 10 || Letter < 26;
    }
    if (!HasAlphanumeric) {
        MiStopForPool(PoolTagUnreadable, Tag, PoolType, (ULONG_PTR)Caller);
    }
}

/* This CPU's parking places (poollookaside.h), at its first need of them; without memory it goes on without. */
static VOID CreateParks(VOID) {
    KIRQL OldIrql = KiCurrentIrql();
    if (MiPoolParks[KeGetCurrentPrcb()->Number] != NULL) {
        return;
    }
    POOL_PARKS *Parks = MiGetHeapPages(&MiPoolHeap[POOL_HEAP_NX], BYTES_TO_PAGES(sizeof(*Parks)));
    if (Parks == NULL) {
        return;
    }
    memset(Parks, 0, sizeof(*Parks));
    KiSetIrql(DISPATCH_LEVEL);
    POOL_PARKS **Place = &MiPoolParks[KeGetCurrentPrcb()->Number];
    BOOLEAN IsTaken = *Place != NULL;
    if (!IsTaken) {
        *Place = Parks;
    }
    KiSetIrql(OldIrql);
    if (IsTaken) {
        MiReleaseHeapPages(Parks, BYTES_TO_PAGES(sizeof(*Parks)));
    }
}

/* A new page for the heap, and one block from it. Called and left with the heap unlocked. */
static PPOOL_HEADER GrowHeap(PPOOL_HEAP Heap, ULONG Units, ULONG AlignUnits) {
    PVOID Page = MiGetHeapPages(Heap, 1);
    if (Page == NULL) {
        return NULL;
    }
    PPOOL_HEADER Header = NULL;
    KIRQL OldIrql = LockHeap(Heap);
    if (!MiIsPagedHeap(Heap) || MiCreatePoolShadow(Page)) {
        Header = MiTakeFromNewPoolPage(Heap, Page, Units, AlignUnits);
    }
    UnlockHeap(Heap, OldIrql);
    if (Header == NULL) {
        MiReleaseHeapPages(Page, 1);
    }
    return Header;
}

/* A block that no CPU has parked. */
static PPOOL_HEADER TakeFromHeap(PPOOL_HEAP Heap, ULONG Units, ULONG AlignUnits, POOL_CALL Call) {
    CreateParks();
    KIRQL OldIrql = LockHeap(Heap);
    PPOOL_HEADER Header = MiTakePoolBlock(Heap, Units, AlignUnits, Call);
    UnlockHeap(Heap, OldIrql);
    return Header != NULL ? Header : GrowHeap(Heap, Units, AlignUnits);
}

/* Makes a block its new owner's: tag, state, count. Returns what the owner gets. IRQL as the heap's. */
static FORCEINLINE PVOID HandOut(PPOOL_HEADER Header, ULONG HeapIndex, SIZE_T Units, ULONG Tag, ULONG TagIndex) {
    BOOLEAN IsPaged = HeapIndex == POOL_HEAP_PAGED;
    Header->PoolTag = Tag;
    Header->PoolTagHash = (USHORT)TagIndex;
    Header->PoolType = POOL_IN_USE | (IsPaged ? PagedPool + 1 : NonPagedPool + 1);
    if (IsPaged) {
        MiShadowUse(Header, TagIndex, TRUE);
    }
    MiCountPoolAllocation(TagIndex, IsPaged, Units * POOL_UNIT);
    return Header + 1;
}

static ULONG UnitsFor(SIZE_T Bytes) {
    ULONG Units = (ULONG)((Bytes + POOL_UNIT - 1) / POOL_UNIT) + 1;
    return Units < POOL_SMALLEST_UNITS ? POOL_SMALLEST_UNITS : Units;
}

/* Everything that is rare: large, aligned, cleared, raising, a first tag, an empty parking place. */
static __attribute__((noinline)) PVOID AllocateSlowly(POOL_TYPE PoolType, SIZE_T Bytes, ULONG Tag, ULONG HeapIndex,
                                                      PVOID Caller, POOL_CALL Call) {
    PPOOL_HEAP Heap = &MiPoolHeap[HeapIndex];
    ULONG AlignUnits = PoolType & POOL_CACHE_ALIGNED ? CACHE_LINE_UNITS : 1;
    PVOID P = NULL;

    if ((PoolType & POOL_BASE_MASK & ~POOL_CACHE_ALIGNED) >= POOL_MUST_SUCCEED) {
        MiStopForPool(PoolMustSucceed, PoolType, Bytes, Tag);
    }
    CheckTag(PoolType, Bytes, Tag, Caller);
    ULONG TagIndex = MiFindPoolTag(Tag);
    if (Bytes > POOL_SMALL_LIMIT || UnitsFor(Bytes) + AlignUnits > POOL_UNITS_PER_PAGE) {
        P = MiAllocateBigPool(Heap, Bytes, Tag, TagIndex);
    } else {
        PPOOL_HEADER Header = TakeFromHeap(Heap, UnitsFor(Bytes), AlignUnits, Call);
        if (Header != NULL) {
            P = HandOut(Header, HeapIndex, Header->BlockSize, Tag, TagIndex);
        }
    }
    if (P == NULL && (PoolType & POOL_RAISE)) {
        ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    }
    if (P != NULL) {
        KdTracePoolAt(KiCurrentIrql(), TracePoolAllocate, MiIsPagedHeap(Heap), P, Bytes, Tag, Caller);
    }
    if (P != NULL && (PoolType & POOL_ZERO)) {
        memset(P, 0, Bytes);
    }
    return P;
}

static DECLSPEC_NORETURN __attribute__((noinline)) VOID DieOfDamagedPark(PPOOL_HEADER Header, ULONG HeapIndex,
                                                                         POOL_CALL Call) {
    const ULONG64 *Seal = (const ULONG64 *)(Header + 1);
    if (Header->PoolType != POOL_PARKED) {
        MiStopForFreeBlock(Call, &MiPoolHeap[HeapIndex], PoolParkedHeader, Header, 0, MiPoolHeaderSizes(Header));
    }
    MiStopForFreeBlock(Call, &MiPoolHeap[HeapIndex], PoolFreeContents, Header, Seal[0], Seal[1]);
}

/* Stops the machine if a block was written to while it was free: by its former owner, or past a neighbour's end. */
static FORCEINLINE VOID CheckParked(PPOOL_HEADER Header, ULONG HeapIndex, SIZE_T Units, POOL_CALL Call) {
    const ULONG64 *Seal = (const ULONG64 *)(Header + 1);
    USHORT SizeAndType = *(const USHORT *)&Header->BlockSize;
    if (__builtin_expect(SizeAndType != (Units | POOL_PARKED << 8) || Seal[0] != MiPoolSeal(Header) ||
                             Seal[1] != MiPoolSeal(Header),
                         FALSE)) {
        DieOfDamagedPark(Header, HeapIndex, Call);
    }
}

/* The way of most requests, made once for each heap: a parked block, or else the slow way. */
static FORCEINLINE PVOID Allocate(POOL_TYPE PoolType, SIZE_T Bytes, ULONG Tag, ULONG HeapIndex, PVOID Caller,
                                  POOL_CALL Call) {
    ULONG64 Irql = __readcr8();
    if (Irql > (HeapIndex == POOL_HEAP_PAGED ? APC_LEVEL : DISPATCH_LEVEL)) {
        MiStopForPool(PoolAllocatedTooHigh, Irql, PoolType, Bytes);
    }
    ULONG TagIndex = MiHashPoolTag(Tag);
    if (PoolType == MiHeapType(HeapIndex) && Bytes - 1 < PARK_BYTES && MiPoolTag[TagIndex] == Tag) {
        SIZE_T Units = (Bytes + 2 * POOL_UNIT - 1) / POOL_UNIT;
        PPOOL_HEADER Header = MiTakeParked(HeapIndex, Units, Irql, Bytes, Tag, Caller);
        if (Header != NULL) {
            CheckParked(Header, HeapIndex, Units, Call);
            return HandOut(Header, HeapIndex, Units, Tag, TagIndex);
        }
    }
    return AllocateSlowly(PoolType, Bytes, Tag, HeapIndex, Caller, Call);
}

/* The way of every call but the most common one; apart, so that no-execute nonpaged pool does not pay for the stack
 * that it needs. IRQL and results as ExAllocatePoolWithTag; Caller is blamed for a bad tag. */
__attribute__((noinline)) PVOID MiAllocatePool(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag, PVOID Caller,
                                               POOL_CALL Call) {
    if (PoolType & PagedPool) {
        return Allocate(PoolType, NumberOfBytes, Tag, POOL_HEAP_PAGED, Caller, Call);
    }
    if (PoolType & POOL_NX) {
        return Allocate(PoolType, NumberOfBytes, Tag, POOL_HEAP_NX, Caller, Call);
    }
    return Allocate(PoolType, NumberOfBytes, Tag, POOL_HEAP_EXECUTABLE, Caller, Call);
}

/* PagedPool: <= APC_LEVEL; NonPagedPool...: <= DISPATCH_LEVEL; above that 0xC2 (8, ...). May wait (paged pool).
 * Aligned to 16 bytes, to a page when larger than 0xFE0 bytes; 0 bytes are a small block. NULL: no memory. */
PVOID ExAllocatePoolWithTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag) {
    if (PoolType != NonPagedPoolNx) {
        return MiAllocatePool(PoolType, NumberOfBytes, Tag, _ReturnAddress(), PoolCallClassic);
    }
    return Allocate(NonPagedPoolNx, NumberOfBytes, Tag, POOL_HEAP_NX, _ReturnAddress(), PoolCallClassic);
}

PVOID ExAllocatePool(POOL_TYPE PoolType, SIZE_T NumberOfBytes) {
    return MiAllocatePool(PoolType, NumberOfBytes, 'enoN', _ReturnAddress(), PoolCallClassic);
}

/* ---- Freeing ---- */

/* An address outside the pool is a caller error; a page-aligned pool address is an allocation of whole pages. */
static __attribute__((noinline)) VOID FreeUnusual(PVOID P, ULONG Tag, PVOID Caller) {
    ULONG64 Va = (ULONG64)P;
    if (P == NULL) {
        MiStopForPool(PoolFreedNull, 0, 0, 0);
    }
    if ((LONG64)Va > 0) {
        MiStopForPool(PoolFreedUserAddress, Va, 0xFFFF800000000000ULL, 0);
    }
    if (MiSpecialPool != NULL && MiSpecialPool->Free(P, Tag)) {
        return;
    }
    MM_REGION_KIND Kind = MmFindRegion(Va)->Kind;
    if ((Kind != RegionPagedPool && Kind != RegionNonPagedPool) || Va % POOL_UNIT != 0) {
        MiStopForPool(PoolFreedNoPool, Va, 0, 0);
    }
    MiFreeBigPool(P, Tag, Caller);
}

/* Gives a block back to its heap, and a page that became empty to the memory manager. */
static __attribute__((noinline)) VOID ReturnToHeap(PPOOL_HEADER Header) {
    PPOOL_HEAP Heap = &MiPoolHeap[Header->PoolIndex];
    KIRQL OldIrql = LockHeap(Heap);
    PVOID EmptyPage = MiReturnPoolBlock(Heap, Header);
    if (EmptyPage != NULL && MiIsPagedHeap(Heap)) {
        MiDeletePoolShadow(EmptyPage);
    }
    UnlockHeap(Heap, OldIrql);
    if (EmptyPage != NULL) {
        MiReleaseHeapPages(EmptyPage, 1);
    }
}

/* Stops the machine unless the header is that of a block in use whose end is where the next header says that it is. */
static FORCEINLINE VOID CheckHeader(PPOOL_HEADER Header, BOOLEAN IsPaged) {
    SIZE_T Units = Header->BlockSize;
    SIZE_T EndUnit = MiUnitInPage(Header) + Units;
    if (!(Header->PoolType & POOL_IN_USE)) {
        MiStopForPool(PoolFreedTwice, 0, MiPoolHeaderSizes(Header), (ULONG_PTR)(Header + 1));
    }
    BOOLEAN IsHeapRight = IsPaged ? Header->PoolIndex == POOL_HEAP_PAGED : (Header->PoolIndex & ~POOL_HEAP_NX) == 0;
    if (!IsHeapRight || Units < POOL_SMALLEST_UNITS || EndUnit > POOL_UNITS_PER_PAGE ||
        (EndUnit != POOL_UNITS_PER_PAGE && Header[Units].PreviousSize != Units)) {
        MiStopForPool(PoolHeader, (ULONG_PTR)Header, (ULONG_PTR)(Header + Units), MiPoolHeaderSizes(Header));
    }
}

/* Takes a block from its owner; it is free then. IRQL as for the allocation. */
static FORCEINLINE VOID TakeBack(PPOOL_HEADER Header, BOOLEAN IsPaged) {
    SIZE_T Units = Header->BlockSize;
    MiCountPoolFree(Header->PoolTagHash, IsPaged, Units * POOL_UNIT);
    if (IsPaged) {
        MiShadowUse(Header, 0, FALSE);
    }
#if DBG
    memset(Header + 1, POOL_FREED_FILL, (Units - 1) * POOL_UNIT);
#endif
    ((ULONG64 *)(Header + 1))[0] = ((ULONG64 *)(Header + 1))[1] = MiPoolSeal(Header);
    Header->PoolType = POOL_PARKED;
}

/* Frees an address of one of the two pools; made once for each. */
static FORCEINLINE VOID Free(PVOID P, ULONG Tag, BOOLEAN IsPaged, PVOID Caller) {
    PPOOL_HEADER Header = (PPOOL_HEADER)P - 1;
    ULONG64 Irql = __readcr8();
    if (Irql > (IsPaged ? APC_LEVEL : DISPATCH_LEVEL)) {
        MiStopForPool(PoolFreedTooHigh, Irql, IsPaged ? PagedPool : NonPagedPool, (ULONG_PTR)P);
    }
    if (BYTE_OFFSET(P) % POOL_UNIT != 0 || BYTE_OFFSET(P) == 0) {
        FreeUnusual(P, Tag, Caller);
        return;
    }
    CheckHeader(Header, IsPaged);
    if (__builtin_expect((LONG)Header->PoolTag < 0, FALSE) && Tag != 0 && Tag != Header->PoolTag) { /* PROTECTED_POOL */
        MiStopForPool(PoolFreedByOtherTag, (ULONG_PTR)P, Header->PoolTag, Tag);
    }
    if (__builtin_expect(!IsPaged && KiMayHoldTimer(P), FALSE)) {
        KeCheckForTimer(P, (Header->BlockSize - 1) * POOL_UNIT);
    }
    TakeBack(Header, IsPaged);
    SIZE_T Units = Header->BlockSize;
    if (Units - POOL_SMALLEST_UNITS >= PARK_SIZES) {
        KdTracePoolAt((KIRQL)Irql, TracePoolFree, IsPaged, P, (Units - 1) * POOL_UNIT, Header->PoolTag, Caller);
        ReturnToHeap(Header);
    } else if (!MiPark(Header->PoolIndex, Units, Header, Irql, Header->PoolTag, Caller)) {
        ReturnToHeap(Header);
    }
}

static __attribute__((noinline)) VOID FreeOther(PVOID P, ULONG Tag, PVOID Caller) {
    if ((ULONG64)P - MM_PAGED_POOL < POOL_PAGED_BYTES) {
        Free(P, Tag, TRUE, Caller);
    } else {
        FreeUnusual(P, Tag, Caller);
    }
}

/* IRQL as for the allocation, otherwise 0xC2 (9, ...). A tag of 0 fits every block; another one matters only where the
 * block's tag has PROTECTED_POOL: then 0xC2 (0xA, ...). Freed before: 0xC2 (7, ...); headers overwritten: 0x19; with a
 * timer in it that is set: 0xC7. */
VOID ExFreePoolWithTag(PVOID P, ULONG Tag) {
    if (__builtin_expect(KeVerifier != NULL, FALSE)) {
        KeVerifier->BlockFreed(P, Tag);
    }
    if ((ULONG64)P - MM_NONPAGED_POOL >= POOL_NONPAGED_BYTES) {
        FreeOther(P, Tag, _ReturnAddress());
        return;
    }
    Free(P, Tag, FALSE, _ReturnAddress());
}

VOID ExFreePool(PVOID P) {
    ExFreePoolWithTag(P, 0);
}

/* bigpool.c: pool allocations of whole pages. They have no header, so a table remembers their addresses, sizes and
 * tags.
 *
 * An open hash table by address. Where it may grow (bigpoolgrow.c), it doubles before it is three quarters full.
 */
#include "pool.h"
#include <trace.h>

#define INITIAL_ENTRIES 256 /* a power of two */
#define LARGEST_PAGES (1ULL << 24)
#define TAIL_SEAL 0x6C6961546C6F6F50ULL /* "PoolTail" */

KE_DECLARE_LOCK(MiBigPoolLock, RANK_POOL, "the table of pool allocations of whole pages");

static POOL_BIG_PAGE InitialEntries[INITIAL_ENTRIES];
static POOL_BIG_TABLE InitialTable = {INITIAL_ENTRIES, 0, InitialEntries};
POOL_BIG_TABLE *volatile MiBigTable = &InitialTable;
BOOLEAN (*MiGrowBigTable)(ULONG SeenEntries);

static ULONG HashVa(const POOL_BIG_TABLE *In, ULONG64 Va) {
    return (ULONG)((Va >> PAGE_SHIFT) * 0x9E3779B97F4A7C15ULL >> 40) & (In->Entries - 1);
}

/* Writes an entry into a table that has room. */
VOID MiInsertBigPage(POOL_BIG_TABLE *In, const POOL_BIG_PAGE *New) {
    ULONG Index = HashVa(In, New->Va);
    while (In->Entry[Index].Va > POOL_BIG_DELETED) {
        Index = (Index + 1) & (In->Entries - 1);
    }
    POOL_BIG_PAGE *Place = &In->Entry[Index];
    In->Used += Place->Va == 0;
    Place->Tag = New->Tag;
    Place->TagIndex = New->TagIndex;
    Place->Pages = New->Pages;
    Place->HeapIndex = New->HeapIndex;
    Place->Bytes = New->Bytes;
    /* Release: MiFindBigPool, which takes no lock, sees a whole entry or none. */
    __atomic_store_n(&Place->Va, New->Va, __ATOMIC_RELEASE);
}

/* Remembers an allocation. FALSE: no memory for a larger table. <= DISPATCH_LEVEL. */
static BOOLEAN AddEntry(const POOL_BIG_PAGE *New) {
    for (;;) {
        KIRQL OldIrql;
        KeAcquireSpinLock(&MiBigPoolLock, &OldIrql);
        ULONG Entries = MiBigTable->Entries;
        BOOLEAN HasRoom = MiBigTable->Used < Entries / 4 * 3;
        if (HasRoom) {
            MiInsertBigPage(MiBigTable, New);
        }
        KeReleaseSpinLock(&MiBigPoolLock, OldIrql);
        if (HasRoom) {
            return TRUE;
        }
        if (MiGrowBigTable == NULL || !MiGrowBigTable(Entries)) {
            return FALSE;
        }
    }
}

/* The first word behind the block, at the next multiple of 16; NULL if the block fills its last page. If it changes,
 * the owner has written past the end. */
static volatile ULONG64 *TailOf(const POOL_BIG_PAGE *Entry) {
    ULONG64 End = (Entry->Va + Entry->Bytes + POOL_UNIT - 1) & ~(ULONG64)(POOL_UNIT - 1);
    return BYTE_OFFSET(End) == 0 ? NULL : (volatile ULONG64 *)End;
}

/* Whole pages for one allocation, aligned to a page. NULL when there is no memory. IRQL as the heap's. */
PVOID MiAllocateBigPool(PPOOL_HEAP Heap, SIZE_T NumberOfBytes, ULONG Tag, ULONG TagIndex) {
    if (NumberOfBytes > LARGEST_PAGES * PAGE_SIZE) {
        return NULL;
    }
    SIZE_T Pages = BYTES_TO_PAGES(NumberOfBytes);
    PVOID Va = MiGetHeapPages(Heap, Pages);
    if (Va == NULL) {
        return NULL;
    }
    POOL_BIG_PAGE New = {(ULONG64)Va, Tag, TagIndex, (ULONG)Pages, Heap->Index, NumberOfBytes};
    if (!AddEntry(&New)) {
        MiReleaseHeapPages(Va, Pages);
        return NULL;
    }
    volatile ULONG64 *Tail = TailOf(&New);
    if (Tail != NULL) {
        *Tail = TAIL_SEAL; /* may fault, in paged pool */
    }
    MiCountPoolAllocation(TagIndex, MiIsPagedHeap(Heap), Pages * PAGE_SIZE);
    return Va;
}

/* Finds the entry of exactly this address. MiBigPoolLock held. */
static POOL_BIG_PAGE *FindEntry(ULONG64 Va) {
    ULONG Index = HashVa(MiBigTable, Va);
    while (MiBigTable->Entry[Index].Va != 0) {
        if (MiBigTable->Entry[Index].Va == Va) {
            return &MiBigTable->Entry[Index];
        }
        Index = (Index + 1) & (MiBigTable->Entries - 1);
    }
    return NULL;
}

static VOID CheckPagesForTimers(const POOL_BIG_PAGE *Entry) {
    for (ULONG Page = 0; Page < Entry->Pages && Page < KI_TIMER_PAGES; Page++) {
        if (KiMayHoldTimer((PVOID)(Entry->Va + ((ULONG64)Page << PAGE_SHIFT)))) {
            KeCheckForTimer((PVOID)Entry->Va, (SIZE_T)Entry->Pages << PAGE_SHIFT);
            return;
        }
    }
}

/* Frees an allocation of whole pages. An address that the table does not know was freed before, or never allocated:
 * 0x19 (0x22, address, 1 paged or 0, 0); in the middle of a paged one: 0xC2 (0x41286, ...). A protected tag that
 * differs: 0xC2 (0xA, ...). Written past its end: 0x19 (0x21, ...). IRQL as the heap's. */
VOID MiFreeBigPool(PVOID P, ULONG Tag, PVOID Caller) {
    POOL_BIG_PAGE Entry = {0};
    KIRQL OldIrql;

    KeAcquireSpinLock(&MiBigPoolLock, &OldIrql);
    POOL_BIG_PAGE *Found = FindEntry((ULONG64)P);
    if (Found != NULL) {
        Entry = *Found;
        Found->Va = POOL_BIG_DELETED;
    }
    KeReleaseSpinLock(&MiBigPoolLock, OldIrql);

    if (Found == NULL) {
        BOOLEAN IsPaged = MmFindRegion((ULONG64)P)->Kind == RegionPagedPool;
        if (IsPaged && MiFindBigPool((ULONG64)P, &Entry)) {
            MiStopForPool(PoolFreedMiddle, (ULONG_PTR)P, Entry.Va, 0);
        }
        MiStopForPool(PoolBigUnknown, (ULONG_PTR)P, IsPaged, 0);
    }
    if ((Entry.Tag & PROTECTED_POOL) && Tag != 0 && Tag != Entry.Tag) {
        MiStopForPool(PoolFreedByOtherTag, (ULONG_PTR)P, Entry.Tag, Tag);
    }
    volatile ULONG64 *Tail = TailOf(&Entry);
    if (Tail != NULL && *Tail != TAIL_SEAL) {
        AddEntry(&Entry); /* the report says whose block it is */
        MiStopForPool(PoolBigTail, (ULONG_PTR)P, Entry.Bytes, *Tail);
    }
    PPOOL_HEAP Heap = &MiPoolHeap[Entry.HeapIndex];
    CheckPagesForTimers(&Entry);
    MiCountPoolFree(Entry.TagIndex, MiIsPagedHeap(Heap), (SIZE_T)Entry.Pages * PAGE_SIZE);
    KdTracePoolAt(KiCurrentIrql(), TracePoolFree, MiIsPagedHeap(Heap), P, Entry.Bytes, Entry.Tag, Caller);
    MiReleaseHeapPages(P, Entry.Pages);
}

/* The allocation that contains an address, by looking at all of them. Any IRQL, no locks: for a dying machine. */
BOOLEAN MiFindBigPool(ULONG64 Va, POOL_BIG_PAGE *Found) {
    const POOL_BIG_TABLE *In = __atomic_load_n(&MiBigTable, __ATOMIC_ACQUIRE);
    for (ULONG Index = 0; Index < In->Entries; Index++) {
        ULONG64 Start = __atomic_load_n(&In->Entry[Index].Va, __ATOMIC_ACQUIRE);
        if (Start > POOL_BIG_DELETED && Va >= Start && Va - Start < (ULONG64)In->Entry[Index].Pages * PAGE_SIZE) {
            *Found = In->Entry[Index];
            return TRUE;
        }
    }
    return FALSE;
}

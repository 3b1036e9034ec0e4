/* bigpool.c: pool allocations of whole pages. They have no header, so a table remembers their addresses, sizes and
 * tags.
 *
 * An open hash table by address. It doubles before it is three quarters full; the old table is never given back, so
 * that a dying CPU may read any table that it finds without a lock. All old ones together are smaller than the one in
 * use.
 */
#include "pool.h"
#include <trace.h>

#define INITIAL_ENTRIES 256 /* a power of two */
#define BIG_DELETED 1       /* the place of a removed entry: searches go on behind it */
#define LARGEST_PAGES (1ULL << 24)
#define TAIL_SEAL 0x6C6961546C6F6F50ULL /* "PoolTail" */

typedef struct _BIG_TABLE {
    ULONG Entries; /* a power of two */
    ULONG Used;    /* entries that are not 0, deleted ones included */
    POOL_BIG_PAGE *Entry;
} BIG_TABLE;

KE_DECLARE_LOCK(MiBigPoolLock, RANK_POOL, "the table of pool allocations of whole pages");

static POOL_BIG_PAGE InitialEntries[INITIAL_ENTRIES];
static BIG_TABLE InitialTable = {INITIAL_ENTRIES, 0, InitialEntries};
static BIG_TABLE *volatile Table = &InitialTable;

static ULONG HashVa(const BIG_TABLE *In, ULONG64 Va) {
    return (ULONG)((Va >> PAGE_SHIFT) * 0x9E3779B97F4A7C15ULL >> 40) & (In->Entries - 1);
}

/* Writes an entry into a table that has room. */
static VOID InsertEntry(BIG_TABLE *In, const POOL_BIG_PAGE *New) {
    ULONG Index = HashVa(In, New->Va);
    while (In->Entry[Index].Va > BIG_DELETED) {
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

/* A table of twice the size, or NULL. The table itself is in front of its entries. No lock held. */
static BIG_TABLE *AllocateTable(ULONG Entries) {
    SIZE_T Bytes = sizeof(BIG_TABLE) + Entries * sizeof(POOL_BIG_PAGE);
    BIG_TABLE *New = MiGetHeapPages(&MiPoolHeap[POOL_HEAP_NX], BYTES_TO_PAGES(Bytes));
    if (New != NULL) {
        memset(New, 0, Bytes);
        New->Entries = Entries;
        New->Entry = (POOL_BIG_PAGE *)(New + 1);
    }
    return New;
}

/* Moves the entries to a table with room. FALSE: no memory. */
static BOOLEAN GrowTable(ULONG SeenEntries) {
    BIG_TABLE *New = AllocateTable(SeenEntries * 2);
    KIRQL OldIrql;
    if (New == NULL) {
        return FALSE;
    }
    KeAcquireSpinLock(&MiBigPoolLock, &OldIrql);
    BIG_TABLE *Old = Table;
    BOOLEAN IsFirst = Old->Entries == SeenEntries; /* otherwise another CPU has grown it meanwhile */
    if (IsFirst) {
        for (ULONG Index = 0; Index < Old->Entries; Index++) {
            if (Old->Entry[Index].Va > BIG_DELETED) {
                InsertEntry(New, &Old->Entry[Index]);
            }
        }
        __atomic_store_n(&Table, New, __ATOMIC_RELEASE);
    }
    KeReleaseSpinLock(&MiBigPoolLock, OldIrql);
    if (!IsFirst) {
        MiReleaseHeapPages(&MiPoolHeap[POOL_HEAP_NX], New,
                           BYTES_TO_PAGES(sizeof(BIG_TABLE) + New->Entries * sizeof(POOL_BIG_PAGE)));
    }
    return TRUE;
}

/* Remembers an allocation. FALSE: no memory for a larger table. <= DISPATCH_LEVEL. */
static BOOLEAN AddEntry(const POOL_BIG_PAGE *New) {
    for (;;) {
        KIRQL OldIrql;
        KeAcquireSpinLock(&MiBigPoolLock, &OldIrql);
        ULONG Entries = Table->Entries;
        BOOLEAN HasRoom = Table->Used < Entries / 4 * 3;
        if (HasRoom) {
            InsertEntry(Table, New);
        }
        KeReleaseSpinLock(&MiBigPoolLock, OldIrql);
        if (HasRoom) {
            return TRUE;
        }
        if (!GrowTable(Entries)) {
            return FALSE;
        }
    }
}

/* The first word behind the block, at the next multiple of 16; NULL if the block fills its last page. What is written
 * there shows that the owner wrote past the end. */
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
        MiReleaseHeapPages(Heap, Va, Pages);
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
    ULONG Index = HashVa(Table, Va);
    while (Table->Entry[Index].Va != 0) {
        if (Table->Entry[Index].Va == Va) {
            return &Table->Entry[Index];
        }
        Index = (Index + 1) & (Table->Entries - 1);
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
 * 0x19 (0x22, address, 1 paged or 0, 0); in the middle of a paged one: 0xC2 (0x41286, ...). A protected tag that differs:
 * 0xC2 (0xA, ...). Written past its end: 0x19 (0x21, ...). IRQL as the heap's. */
VOID MiFreeBigPool(PVOID P, ULONG Tag, PVOID Caller) {
    POOL_BIG_PAGE Entry = {0};
    KIRQL OldIrql;

    KeAcquireSpinLock(&MiBigPoolLock, &OldIrql);
    POOL_BIG_PAGE *Found = FindEntry((ULONG64)P);
    if (Found != NULL) {
        Entry = *Found;
        Found->Va = BIG_DELETED;
    }
    KeReleaseSpinLock(&MiBigPoolLock, OldIrql);

    if (Found == NULL) {
        BOOLEAN IsPaged = MmFindRegion((ULONG64)P)->Kind == RegionPagedPool;
        if (IsPaged && MiFindBigPool((ULONG64)P, &Entry)) {
            KeBugCheckEx(BAD_POOL_CALLER, 0x41286, (ULONG_PTR)P, Entry.Va, 0);
        }
        KeBugCheckEx(BAD_POOL_HEADER, 0x22, (ULONG_PTR)P, IsPaged, 0);
    }
    if ((Entry.Tag & PROTECTED_POOL) && Tag != 0 && Tag != Entry.Tag) {
        KeBugCheckEx(BAD_POOL_CALLER, 0x0A, (ULONG_PTR)P, Entry.Tag, Tag);
    }
    volatile ULONG64 *Tail = TailOf(&Entry);
    if (Tail != NULL && *Tail != TAIL_SEAL) {
        AddEntry(&Entry); /* the report says whose block it is */
        KeBugCheckEx(BAD_POOL_HEADER, 0x21, (ULONG_PTR)P, Entry.Bytes, *Tail);
    }
    PPOOL_HEAP Heap = &MiPoolHeap[Entry.HeapIndex];
    CheckPagesForTimers(&Entry);
    MiCountPoolFree(Entry.TagIndex, MiIsPagedHeap(Heap), (SIZE_T)Entry.Pages * PAGE_SIZE);
    KdTracePoolAt(KiCurrentIrql(), TracePoolFree, MiIsPagedHeap(Heap), P, Entry.Bytes, Entry.Tag, Caller);
    MiReleaseHeapPages(Heap, P, Entry.Pages);
}

/* The allocation that contains an address, by looking at all of them. Any IRQL, no locks: for a dying machine. */
BOOLEAN MiFindBigPool(ULONG64 Va, POOL_BIG_PAGE *Found) {
    const BIG_TABLE *In = __atomic_load_n(&Table, __ATOMIC_ACQUIRE);
    for (ULONG Index = 0; Index < In->Entries; Index++) {
        ULONG64 Start = __atomic_load_n(&In->Entry[Index].Va, __ATOMIC_ACQUIRE);
        if (Start > BIG_DELETED && Va >= Start && Va - Start < (ULONG64)In->Entry[Index].Pages * PAGE_SIZE) {
            *Found = In->Entry[Index];
            return TRUE;
        }
    }
    return FALSE;
}

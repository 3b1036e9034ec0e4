/* pool.h: the pool block, and declarations shared by the pool's files (mm/pool*.c, mm/bigpool.c). */
#ifndef _POOL_H_
#define _POOL_H_

#include <ex.h>
#include <mm.h>

/*
 * A page of small blocks, P = PreviousSize, B = BlockSize, in units of 16 bytes:
 *
 *     +--------+-------------+--------+---------+--------+--------------------+
 *     | P=0 B=5| 64 bytes    | P=5 B=9| 128     | P=9 B= | free, in a list    |
 *     +--------+-------------+--------+---------+--------+--------------------+
 *     page start                                                     page end
 *
 * Blocks never cross a page, and their sizes add up to the page. Each header says the size of its own block and of the
 * block before it, so that an overrun, which destroys the header behind, shows when either block is freed.
 */
#define POOL_UNIT 16
#define POOL_UNITS_PER_PAGE (PAGE_SIZE / POOL_UNIT)
#define POOL_SMALL_LIMIT (PAGE_SIZE - 4 * sizeof(PVOID)) /* larger requests get whole pages and no header */
#define POOL_SMALLEST_UNITS 2                            /* a header, and room for the links of a free block */

typedef struct _POOL_HEADER {
    UCHAR PreviousSize; /* of the block before it in the page, in units; 0 for the first */
    UCHAR PoolIndex;    /* POOL_HEAP.Index */
    UCHAR BlockSize;    /* in units, header included */
    UCHAR PoolType;     /* POOL_FREE, POOL_PARKED, or POOL_IN_USE | POOL_TYPE + 1 */
    ULONG PoolTag;
    union {
        PVOID ProcessBilled;
        struct {
            USHORT AllocatorBackTraceIndex;
            USHORT PoolTagHash; /* index in MiPoolTag while in use */
        };
    };
} POOL_HEADER, *PPOOL_HEADER;

C_ASSERT(sizeof(POOL_HEADER) == POOL_UNIT);
C_ASSERT(offsetof(POOL_HEADER, PoolTag) == 4);

#define POOL_FREE 0x00
#define POOL_IN_USE 0x04
#define POOL_PARKED 0x40 /* freed by its owner, kept for the next allocation of its size */

#define POOL_FREED_FILL 0xDF

/* Private bits of the pool type, on its way through pool.c. */
#define POOL_QUOTA_FAIL 8
#define POOL_RAISE 16

/* Which promise the caller made: as on Windows, damage that ExAllocatePool2 finds is the heap's own 0x13A, the older
 * calls report what the classic allocator reports. */
typedef enum _POOL_CALL { PoolCallClassic, PoolCallHeap } POOL_CALL;
PVOID MiAllocatePool(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag, PVOID Caller, POOL_CALL Call);

/* ---- Reasons to stop the machine (pooldamage.c) ---- */
typedef enum _POOL_DAMAGE {
    PoolFreedTwice,
    PoolAllocatedTooHigh,
    PoolFreedTooHigh,
    PoolFreedByOtherTag,
    PoolFreedUserAddress,
    PoolFreedNoPool,
    PoolFreedNull,
    PoolMustSucceed,
    PoolTagZero,
    PoolTagBig,
    PoolTagUnreadable,
    PoolFreedMiddle,
    PoolFreeContents, /* of a block that lies free: its seal or its links */
    PoolNeighbours,
    PoolParkedHeader,
    PoolHeader,
    PoolBigTail,
    PoolBigUnknown
} POOL_DAMAGE;
DECLSPEC_NORETURN VOID MiStopForPool(POOL_DAMAGE Damage, ULONG_PTR P2, ULONG_PTR P3, ULONG_PTR P4);

/* An address tells its pool by arithmetic, without a look at the table of regions. */
#define POOL_PAGED_BYTES (MM_STACKS - MM_PAGED_POOL)
#define POOL_NONPAGED_BYTES (1ULL << 39)

/* ---- Heaps: blocks of one kind of memory. Guarded by MiPoolLock (nonpaged) or PagedPoolMutex (paged) ---- */
enum { POOL_HEAP_EXECUTABLE, POOL_HEAP_PAGED, POOL_HEAP_NX, POOL_HEAPS };

typedef struct _POOL_HEAP {
    ULONG Index;
    ULONG64 NotEmpty[POOL_UNITS_PER_PAGE / 64]; /* bit n: Free[n] is not empty */
    LIST_ENTRY Free[POOL_UNITS_PER_PAGE];       /* free blocks by size; they are linked through their first 16 bytes */
} POOL_HEAP, *PPOOL_HEAP;

extern POOL_HEAP MiPoolHeap[POOL_HEAPS];

VOID MiInitializePoolHeap(PPOOL_HEAP Heap, ULONG Index);
PPOOL_HEADER MiTakePoolBlock(PPOOL_HEAP Heap, ULONG Units, ULONG AlignUnits, POOL_CALL Call);
PPOOL_HEADER MiTakeFromNewPoolPage(PPOOL_HEAP Heap, PVOID Page, ULONG Units, ULONG AlignUnits);
PVOID MiReturnPoolBlock(PPOOL_HEAP Heap, PPOOL_HEADER Header);

DECLSPEC_NORETURN VOID MiStopForFreeBlock(POOL_CALL Call, PPOOL_HEAP Heap, POOL_DAMAGE Damage, PPOOL_HEADER Header,
                                          ULONG_PTR P3, ULONG_PTR P4);

static FORCEINLINE POOL_TYPE MiHeapType(ULONG Index) {
    return Index == POOL_HEAP_PAGED ? PagedPool : Index == POOL_HEAP_NX ? NonPagedPoolNx : NonPagedPool;
}

static FORCEINLINE BOOLEAN MiIsPagedHeap(const POOL_HEAP *Heap) {
    return Heap->Index == POOL_HEAP_PAGED;
}

static FORCEINLINE ULONG MiUnitInPage(const void *Header) {
    return BYTE_OFFSET(Header) / POOL_UNIT;
}

/* The first 16 bytes of a parked block: they must be unchanged when it is handed out again. */
static FORCEINLINE ULONG64 MiPoolSeal(const POOL_HEADER *Header) {
    return ~(ULONG64)Header;
}

/* The first ULONG of a header as one number, for the parameters of a bugcheck. */
static FORCEINLINE ULONG_PTR MiPoolHeaderSizes(const POOL_HEADER *Header) {
    return *(const ULONG *)Header;
}

/* ---- Tags: the pool's use by each. Counted without a lock; an entry is never removed ---- */
#define POOL_TAGS 1024    /* a power of two */
#define POOL_TAG_OTHERS 0 /* the entry that counts for all tags that found no room; never equal to a tag */

typedef struct _POOL_USE {
    volatile LONG64 Allocs, Frees, Bytes, Reserved;
} POOL_USE;

extern volatile ULONG MiPoolTag[POOL_TAGS];
extern POOL_USE MiPoolUse[2][POOL_TAGS]; /* nonpaged, paged */
ULONG MiInsertPoolTag(ULONG Tag);

static FORCEINLINE ULONG MiHashPoolTag(ULONG Tag) {
    return (Tag * 0x9E3779B1u) >> 22; /* 2^32 / golden ratio spreads near tags; the top 10 bits are the best mixed */
}

static FORCEINLINE ULONG MiFindPoolTag(ULONG Tag) {
    ULONG Index = MiHashPoolTag(Tag);
    return MiPoolTag[Index] == Tag ? Index : MiInsertPoolTag(Tag);
}

static FORCEINLINE VOID MiCountPoolAllocation(ULONG TagIndex, BOOLEAN IsPaged, SIZE_T Bytes) {
    POOL_USE *Use = &MiPoolUse[IsPaged][TagIndex];
    __atomic_fetch_add(&Use->Allocs, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&Use->Bytes, (LONG64)Bytes, __ATOMIC_RELAXED);
}

static FORCEINLINE VOID MiCountPoolFree(ULONG TagIndex, BOOLEAN IsPaged, SIZE_T Bytes) {
    POOL_USE *Use = &MiPoolUse[IsPaged][TagIndex & (POOL_TAGS - 1)];
    __atomic_fetch_add(&Use->Frees, 1, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&Use->Bytes, (LONG64)Bytes, __ATOMIC_RELAXED);
}

/* ---- Big pages: allocations of whole pages, which have no header ---- */
typedef struct _POOL_BIG_PAGE {
    volatile ULONG64 Va; /* 0: never used; POOL_BIG_DELETED: used and removed */
    ULONG Tag;
    ULONG TagIndex;
    ULONG Pages;
    ULONG HeapIndex;
    SIZE_T Bytes; /* as asked for: the bytes behind them in the last page are sealed */
} POOL_BIG_PAGE, *PPOOL_BIG_PAGE;

#define POOL_BIG_DELETED 1 /* POOL_BIG_PAGE.Va of a removed entry: searches go on behind it */

typedef struct _POOL_BIG_TABLE {
    ULONG Entries; /* a power of two */
    ULONG Used;    /* entries that are not 0, deleted ones included */
    POOL_BIG_PAGE *Entry;
} POOL_BIG_TABLE;
extern POOL_BIG_TABLE *volatile MiBigTable; /* written under MiBigPoolLock */
extern KSPIN_LOCK MiBigPoolLock;
VOID MiInsertBigPage(POOL_BIG_TABLE *In, const POOL_BIG_PAGE *New); /* into a table that has room */
/* Makes a table of twice the size, unless another CPU has. FALSE: no memory. NULL: the first table is all there is. */
extern BOOLEAN (*MiGrowBigTable)(ULONG SeenEntries);

PVOID MiAllocateBigPool(PPOOL_HEAP Heap, SIZE_T NumberOfBytes, ULONG Tag, ULONG TagIndex);
VOID MiFreeBigPool(PVOID P, ULONG Tag, PVOID Caller);
BOOLEAN MiFindBigPool(ULONG64 Va, POOL_BIG_PAGE *Found);

/* ---- Shadows: the blocks of a paged-pool page, in nonpaged memory, for when that page is not in memory ---- */
BOOLEAN MiCreatePoolShadow(PVOID Page);
VOID MiDeletePoolShadow(PVOID Page);
VOID MiShadowBlock(const POOL_HEADER *Header, BOOLEAN Exists);
VOID MiShadowUse(const POOL_HEADER *Header, ULONG TagIndex, BOOLEAN InUse);
BOOLEAN MiFindShadowBlock(ULONG64 Va, MM_POOL_BLOCK *Block);

/* ---- Blocks that lie in no heap (specialpool.c); NULL: there are none ---- */
typedef struct _MI_SPECIAL_POOL {
    BOOLEAN (*Free)(PVOID P, ULONG Tag);               /* FALSE: none of these */
    BOOLEAN (*Find)(ULONG64 Va, MM_POOL_BLOCK *Block); /* the same; any IRQL, no locks */
} MI_SPECIAL_POOL;
extern const MI_SPECIAL_POOL *MiSpecialPool;

/* ---- Pages of a heap, from the page-granular allocator ---- */
PVOID MiGetHeapPages(PPOOL_HEAP Heap, SIZE_T Pages);
VOID MiReleaseHeapPages(PVOID Va, SIZE_T Pages);

#endif

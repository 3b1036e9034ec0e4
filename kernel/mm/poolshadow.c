/* poolshadow.c: the blocks of a paged-pool page while the page, headers and all, is on disk.
 *
 * The blue screen of a touch to paged-out pool has to name the block, and may not read the page. So each page of small
 * paged blocks has a shadow in nonpaged memory: where blocks start (one bit for each 16 bytes) and whose they are. A
 * block takes at least two units (a lone unit is free, and has no tag), so one tag for each pair of units is enough:
 * 288 bytes for a page of 4096.
 *
 * Starts are written under PagedPoolMutex; the tag of a block is written by its allocation and by its free. Readers
 * take no lock: on a running machine they may see a page between two states, on a dying one nothing moves.
 */
#include "pool.h"

#define SHADOW_TAG 'hSpP' /* "PpSh" */
#define SHADOW_USED 0x8000
#define LEAF_PAGES 512
#define LEAVES 1024 /* of 2 MiB each */

C_ASSERT(POOL_TAGS <= SHADOW_USED);

typedef struct _POOL_SHADOW {
    ULONG64 Starts[POOL_UNITS_PER_PAGE / 64];
    USHORT Tag[POOL_UNITS_PER_PAGE / 2]; /* SHADOW_USED | index in MiPoolTag, or 0: free */
} POOL_SHADOW;

typedef struct _SHADOW_LEAF {
    POOL_SHADOW *volatile Page[LEAF_PAGES];
} SHADOW_LEAF;

C_ASSERT(sizeof(SHADOW_LEAF) == PAGE_SIZE);
C_ASSERT(LEAVES *(ULONG64)LEAF_PAGES *PAGE_SIZE <= MM_STACKS - MM_PAGED_POOL);

static SHADOW_LEAF *volatile Leaf[LEAVES]; /* by the address in the paged-pool region; never given back */

static POOL_SHADOW *volatile *PlaceOf(ULONG64 Va) {
    ULONG64 Page = (Va - MM_PAGED_POOL) >> PAGE_SHIFT;
    if (Page / LEAF_PAGES >= LEAVES || Leaf[Page / LEAF_PAGES] == NULL) {
        return NULL;
    }
    return &Leaf[Page / LEAF_PAGES]->Page[Page % LEAF_PAGES];
}

/* The shadow of a page that has one. */
static POOL_SHADOW *ShadowOf(const POOL_HEADER *Header) {
    POOL_SHADOW *volatile *Place = PlaceOf((ULONG64)Header);
    NT_ASSERT(Place != NULL && *Place != NULL);
    return *Place;
}

/* Gives a new page of small paged blocks its shadow. FALSE: no memory. PagedPoolMutex held. */
BOOLEAN MiCreatePoolShadow(PVOID Page) {
    ULONG64 Number = ((ULONG64)Page - MM_PAGED_POOL) >> PAGE_SHIFT;
    if (Number / LEAF_PAGES >= LEAVES) {
        return FALSE;
    }
    if (Leaf[Number / LEAF_PAGES] == NULL) {
        SHADOW_LEAF *New = MiGetHeapPages(&MiPoolHeap[POOL_HEAP_NX], 1);
        if (New == NULL) {
            return FALSE;
        }
        memset(New, 0, sizeof(*New));
        Leaf[Number / LEAF_PAGES] = New;
    }
    POOL_SHADOW *Shadow = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Shadow), SHADOW_TAG);
    if (Shadow == NULL) {
        return FALSE;
    }
    memset(Shadow, 0, sizeof(*Shadow));
    Leaf[Number / LEAF_PAGES]->Page[Number % LEAF_PAGES] = Shadow;
    return TRUE;
}

/* Before the page goes back to the memory manager. PagedPoolMutex held. */
VOID MiDeletePoolShadow(PVOID Page) {
    POOL_SHADOW *volatile *Place = PlaceOf((ULONG64)Page);
    NT_ASSERT(Place != NULL);
    POOL_SHADOW *Shadow = *Place;
    *Place = NULL;
    ExFreePoolWithTag(Shadow, SHADOW_TAG);
}

/* A block begins at this header, or no longer does. PagedPoolMutex held. */
VOID MiShadowBlock(const POOL_HEADER *Header, BOOLEAN Exists) {
    POOL_SHADOW *Shadow = ShadowOf(Header);
    ULONG Unit = MiUnitInPage(Header);
    ULONG64 Bit = 1ULL << (Unit % 64);
    if (Exists) {
        Shadow->Starts[Unit / 64] |= Bit;
    } else {
        Shadow->Starts[Unit / 64] &= ~Bit;
    }
}

/* The block has an owner, or no longer has. <= APC_LEVEL, by its owner or with PagedPoolMutex held. */
VOID MiShadowUse(const POOL_HEADER *Header, ULONG TagIndex, BOOLEAN InUse) {
    POOL_SHADOW *Shadow = ShadowOf(Header);
    Shadow->Tag[MiUnitInPage(Header) / 2] = InUse ? (USHORT)(SHADOW_USED | TagIndex) : 0;
}

static BOOLEAN StartsAt(const POOL_SHADOW *Shadow, ULONG Unit) {
    return (Shadow->Starts[Unit / 64] >> (Unit % 64)) & 1;
}

/* The block of paged pool that contains an address, from the shadows alone. Any IRQL, never faults, no locks. */
BOOLEAN MiFindShadowBlock(ULONG64 Va, MM_POOL_BLOCK *Block) {
    POOL_SHADOW *volatile *Place = PlaceOf(Va);
    const POOL_SHADOW *Shadow = Place != NULL ? *Place : NULL;
    ULONG Start = MiUnitInPage((PVOID)Va), End = Start + 1;

    if (Shadow == NULL) {
        return FALSE;
    }
    while (Start > 0 && !StartsAt(Shadow, Start)) {
        Start--;
    }
    while (End < POOL_UNITS_PER_PAGE && !StartsAt(Shadow, End)) {
        End++;
    }
    USHORT Tag = End - Start >= POOL_SMALLEST_UNITS ? Shadow->Tag[Start / 2] : 0;
    Block->Start = (Va & ~(ULONG64)(PAGE_SIZE - 1)) + (Start + 1) * POOL_UNIT;
    Block->Bytes = (SIZE_T)(End - Start - 1) * POOL_UNIT;
    Block->IsPaged = TRUE;
    Block->IsFree = Tag == 0;
    Block->Tag = Tag != 0 ? MiPoolTag[Tag & (POOL_TAGS - 1)] : 0;
    Block->HeaderResident = MmIsAddressValid((PVOID)(Block->Start - POOL_UNIT));
    return TRUE;
}

/* poolfind.c: the pool block that an address lies in, found at any IRQL without a fault.
 *
 * Large allocations come from their table, paged small blocks from the shadows, nonpaged ones from the headers in the
 * page itself, which is believed only if the headers agree from its start to its end.
 */
#include "pool.h"

/* Does the whole page look like a page of blocks? If so, *Found is the header of the block that contains Va. */
static BOOLEAN WalkPage(ULONG64 Va, const POOL_HEADER **Found) {
    ULONG64 Page = Va & ~(ULONG64)(PAGE_SIZE - 1);
    ULONG PreviousUnits = 0;
    for (ULONG64 At = Page; At != Page + PAGE_SIZE;) {
        const POOL_HEADER *Header = (const POOL_HEADER *)At;
        ULONG64 End = At + (ULONG64)Header->BlockSize * POOL_UNIT;
        if (Header->BlockSize == 0 || Header->PreviousSize != PreviousUnits || End > Page + PAGE_SIZE) {
            return FALSE;
        }
        if (Va >= At && Va < End) {
            *Found = Header;
        }
        PreviousUnits = Header->BlockSize;
        At = End;
    }
    return TRUE;
}

static BOOLEAN FindInHeaders(ULONG64 Va, MM_POOL_BLOCK *Block) {
    const POOL_HEADER *Header = NULL;
    if (!MmIsAddressValid(PAGE_ALIGN(Va)) || !WalkPage(Va, &Header) || Header == NULL) {
        return FALSE;
    }
    Block->Start = (ULONG64)(Header + 1);
    Block->Bytes = (SIZE_T)(Header->BlockSize - 1) * POOL_UNIT;
    Block->Tag = Header->PoolTag;
    Block->IsPaged = FALSE;
    Block->IsFree = !(Header->PoolType & POOL_IN_USE);
    Block->HeaderResident = TRUE;
    return TRUE;
}

/* FALSE: the address is in no block of the pool. Any IRQL, no locks, never faults; on a running machine a snapshot. */
BOOLEAN MmFindPoolBlock(ULONG64 Va, MM_POOL_BLOCK *Block) {
    MM_REGION_KIND Kind = MmFindRegion(Va)->Kind;
    POOL_BIG_PAGE Big;

    if (MiSpecialPool != NULL && MiSpecialPool->Find(Va, Block)) {
        return TRUE;
    }
    if (Kind != RegionPagedPool && Kind != RegionNonPagedPool) {
        return FALSE;
    }
    if (MiFindBigPool(Va, &Big)) {
        *Block = (MM_POOL_BLOCK){Big.Va, (SIZE_T)Big.Pages * PAGE_SIZE, Big.Tag, Kind == RegionPagedPool, FALSE, TRUE};
        return TRUE;
    }
    return Kind == RegionPagedPool ? MiFindShadowBlock(Va, Block) : FindInHeaders(Va, Block);
}

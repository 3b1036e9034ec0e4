/* poolblock.c: pages carved into blocks, free neighbours joined again, and headers checked on the way.
 *
 * Everything here runs with the heap's lock held, at the heap's IRQL; a paged heap's headers and lists lie in paged
 * memory and may fault. Sizes are in units of 16 bytes. Only PreviousSize of a block in use is ever written here: its
 * other bytes belong to its owner, which may free it at the same moment without the lock (pool.c).
 */
#include "pool.h"

/* Empties the lists of a heap. Boot CPU, once. */
VOID MiInitializePoolHeap(PPOOL_HEAP Heap, ULONG Index) {
    Heap->Index = Index;
    for (ULONG Units = 0; Units < POOL_UNITS_PER_PAGE; Units++) {
        InitializeListHead(&Heap->Free[Units]);
    }
}

static PPOOL_HEADER HeaderAt(PPOOL_HEADER Header, LONG Units) {
    return (PPOOL_HEADER)((PUCHAR)Header + (SSIZE_T)Units * POOL_UNIT);
}

static BOOLEAN IsPageEdge(const POOL_HEADER *Header) {
    return BYTE_OFFSET(Header) == 0;
}

static PLIST_ENTRY LinksOf(PPOOL_HEADER Header) {
    return (PLIST_ENTRY)(Header + 1);
}

/* Writes the header of a free block and lists it, unless it is a header only: too small to be linked, or to be used. */
static VOID PutFree(PPOOL_HEAP Heap, PPOOL_HEADER Header, ULONG Units, ULONG PreviousUnits) {
    Header->PreviousSize = (UCHAR)PreviousUnits;
    Header->PoolIndex = (UCHAR)Heap->Index;
    Header->BlockSize = (UCHAR)Units;
    Header->PoolType = POOL_FREE;
    if (MiIsPagedHeap(Heap)) {
        MiShadowBlock(Header, TRUE);
    }
    if (Units >= POOL_SMALLEST_UNITS) {
        if (MiIsPagedHeap(Heap)) {
            MiShadowUse(Header, 0, FALSE);
        }
        InsertHeadList(&Heap->Free[Units], LinksOf(Header));
        Heap->NotEmpty[Units / 64] |= 1ULL << (Units % 64);
    }
}

/* Takes a free block out of its list. A list that was overwritten stops the machine: 0x19 (3, block, readbacks). */
static VOID TakeFree(PPOOL_HEAP Heap, PPOOL_HEADER Header) {
    if (Header->BlockSize < POOL_SMALLEST_UNITS) {
        return;
    }
    PLIST_ENTRY Entry = LinksOf(Header), Next = Entry->Flink, Previous = Entry->Blink;
    if (Next->Blink != Entry || Previous->Flink != Entry) {
        MiStopForPool(PoolFreeContents, (ULONG_PTR)Header, (ULONG_PTR)Next->Blink, (ULONG_PTR)Previous->Flink);
    }
    Previous->Flink = Next;
    Next->Blink = Previous;
    PLIST_ENTRY Head = &Heap->Free[Header->BlockSize];
    if (IsListEmpty(Head)) {
        Heap->NotEmpty[Header->BlockSize / 64] &= ~(1ULL << (Header->BlockSize % 64));
    }
}

/* The block before or behind, after a look whether the two agree; NULL at the ends of the page. 0x19 (5, block, 0,
 * other). */
static PPOOL_HEADER PreviousBlock(PPOOL_HEADER Header) {
    if (IsPageEdge(Header)) {
        return NULL;
    }
    PPOOL_HEADER Previous = HeaderAt(Header, -(LONG)Header->PreviousSize);
    if (Header->PreviousSize == 0 || PAGE_ALIGN(Previous) != PAGE_ALIGN(Header) ||
        Previous->BlockSize != Header->PreviousSize) {
        MiStopForPool(PoolNeighbours, (ULONG_PTR)Header, 0, (ULONG_PTR)Previous);
    }
    return Previous;
}

static PPOOL_HEADER NextBlock(PPOOL_HEADER Header) {
    PPOOL_HEADER Next = HeaderAt(Header, Header->BlockSize);
    if (IsPageEdge(Next)) {
        return NULL;
    }
    if (Header->BlockSize == 0 || PAGE_ALIGN(Next) != PAGE_ALIGN(Header) || Next->PreviousSize != Header->BlockSize) {
        MiStopForPool(PoolNeighbours, (ULONG_PTR)Header, 0, (ULONG_PTR)Next);
    }
    return Next;
}

/* Cuts a free run of RunUnits, which is in no list, into [lead][block][rest]; lead and rest are free. Returns the
 * block. */
static PPOOL_HEADER CarveRun(PPOOL_HEAP Heap, PPOOL_HEADER Run, ULONG RunUnits, ULONG PreviousUnits, ULONG Units,
                             ULONG LeadUnits) {
    PPOOL_HEADER Block = HeaderAt(Run, (LONG)LeadUnits);
    PPOOL_HEADER Rest = HeaderAt(Block, (LONG)Units), End = HeaderAt(Run, (LONG)RunUnits);
    ULONG LastUnits = Units;

    if (LeadUnits != 0) {
        PutFree(Heap, Run, LeadUnits, PreviousUnits);
        PreviousUnits = LeadUnits;
    }
    Block->PreviousSize = (UCHAR)PreviousUnits;
    Block->PoolIndex = (UCHAR)Heap->Index;
    Block->BlockSize = (UCHAR)Units;
    Block->PoolType = POOL_IN_USE;
    if (MiIsPagedHeap(Heap)) {
        MiShadowBlock(Block, TRUE);
    }
    if (Rest != End) {
        LastUnits = RunUnits - LeadUnits - Units;
        PutFree(Heap, Rest, LastUnits, Units);
    }
    if (!IsPageEdge(End)) {
        End->PreviousSize = (UCHAR)LastUnits;
    }
    return Block;
}

/* The smallest listed size of at least Units, or 0. */
static ULONG FindListedSize(const POOL_HEAP *Heap, ULONG Units) {
    ULONG Word = Units / 64;
    ULONG64 Bits = Heap->NotEmpty[Word] & (~0ULL << (Units % 64));
    while (Bits == 0) {
        if (++Word == RTL_NUMBER_OF(Heap->NotEmpty)) {
            return 0;
        }
        Bits = Heap->NotEmpty[Word];
    }
    return Word * 64 + (ULONG)__builtin_ctzll(Bits);
}

/* Can a link of a free block be followed, and does it lead to a block or the head of the list? */
static BOOLEAN IsLinkSound(PPOOL_HEAP Heap, PLIST_ENTRY Link, ULONG Units) {
    if (Link == &Heap->Free[Units]) {
        return TRUE;
    }
    if (MiIsPagedHeap(Heap)) {
        return (ULONG64)Link - MM_PAGED_POOL < POOL_PAGED_BYTES && (ULONG64)Link % POOL_UNIT == 0;
    }
    return (ULONG64)Link - MM_NONPAGED_POOL < POOL_NONPAGED_BYTES && (ULONG64)Link % POOL_UNIT == 0 &&
           MmIsAddressValid(Link);
}

/* Before a free block is taken: the classic calls look at its header alone, and then follow its links; the newer ones
 * look before they follow, and report all damage in the same way. */
static VOID CheckRun(PPOOL_HEAP Heap, PPOOL_HEADER Run, ULONG RunUnits, POOL_CALL Call) {
    BOOLEAN IsHeaderSound = Run->BlockSize == RunUnits && Run->PoolType == POOL_FREE;
    PLIST_ENTRY Entry = LinksOf(Run), Next = Entry->Flink, Previous = Entry->Blink;
    if (!IsHeaderSound ||
        (Call == PoolCallHeap && (!IsLinkSound(Heap, Next, RunUnits) || !IsLinkSound(Heap, Previous, RunUnits) ||
                                  Next->Blink != Entry || Previous->Flink != Entry))) {
        MiStopForFreeBlock(Call, Heap, PoolHeader, Run, (ULONG_PTR)HeaderAt(Run, (LONG)RunUnits),
                           MiPoolHeaderSizes(Run));
    }
}

/* Takes the best fitting free block and gives back what is too much of it. AlignUnits: the alignment, in units, of the
 * caller's part of it, which begins behind the header; a power of two. Returns a block marked in use, or NULL: the heap
 * needs a page. Heap lock held. */
PPOOL_HEADER MiTakePoolBlock(PPOOL_HEAP Heap, ULONG Units, ULONG AlignUnits, POOL_CALL Call) {
    /* Where the free block lies decides how much of its front is lost; with the most possible loss every block fits. */
    ULONG RunUnits = FindListedSize(Heap, Units + AlignUnits - 1);
    if (RunUnits == 0) {
        return NULL;
    }
    PPOOL_HEADER Run = (PPOOL_HEADER)Heap->Free[RunUnits].Flink - 1;
    CheckRun(Heap, Run, RunUnits, Call);
    TakeFree(Heap, Run);
    ULONG LeadUnits = (0u - (MiUnitInPage(Run) + 1)) & (AlignUnits - 1);
    return CarveRun(Heap, Run, RunUnits, Run->PreviousSize, Units, LeadUnits);
}

/* Makes a whole new page the source of one block; the rest of it becomes free. Heap lock held. */
PPOOL_HEADER MiTakeFromNewPoolPage(PPOOL_HEAP Heap, PVOID Page, ULONG Units, ULONG AlignUnits) {
    return CarveRun(Heap, Page, POOL_UNITS_PER_PAGE, 0, Units, AlignUnits - 1);
}

/* Frees a block: joins it with free neighbours. Returns the page when nothing in it is in use any more; the heap has
 * then forgotten it. Heap lock held. Stops the machine when the neighbours' headers contradict it. */
PVOID MiReturnPoolBlock(PPOOL_HEAP Heap, PPOOL_HEADER Header) {
    PPOOL_HEADER Previous = PreviousBlock(Header), Next = NextBlock(Header);
    PPOOL_HEADER Run = Header;
    ULONG Units = Header->BlockSize;

    Header->PoolType = POOL_FREE; /* even if it ends up inside a larger block: a second free must find it so */
    /* A neighbour may be parked or handed out meanwhile, without the lock; free it becomes under the lock alone. */
    if (Next != NULL && ReadUCharNoFence(&Next->PoolType) == POOL_FREE) {
        NextBlock(Next);
        TakeFree(Heap, Next);
        Units += Next->BlockSize;
        if (MiIsPagedHeap(Heap)) {
            MiShadowBlock(Next, FALSE);
        }
    }
    if (Previous != NULL && ReadUCharNoFence(&Previous->PoolType) == POOL_FREE) {
        PreviousBlock(Previous);
        TakeFree(Heap, Previous);
        Units += Previous->BlockSize;
        Run = Previous;
        if (MiIsPagedHeap(Heap)) {
            MiShadowBlock(Header, FALSE);
        }
    }
    if (Units == POOL_UNITS_PER_PAGE) {
        return Run;
    }
    PPOOL_HEADER End = HeaderAt(Run, (LONG)Units);
    if (!IsPageEdge(End)) {
        End->PreviousSize = (UCHAR)Units;
    }
    PutFree(Heap, Run, Units, Run->PreviousSize);
    return NULL;
}

/* poollookaside.h: the pool's fast path: each CPU keeps a few freed blocks of each small size.
 *
 * A kept block is called parked. Only its owner CPU touches the list, at DISPATCH_LEVEL, so that no other thread or
 * DPC of that CPU comes between; no lock is needed. The list is an array of pointers, not a chain through the blocks:
 * a block of paged pool may be on disk, and must not be read at DISPATCH_LEVEL. IRQL is set by KiSetIrql: this is no
 * call of a driver's, and the verifier's checks of KeRaiseIrql are not meant for it.
 */
#ifndef _POOLLOOKASIDE_H_
#define _POOLLOOKASIDE_H_

#include "pool.h"
#include <trace.h>

#define PARK_BYTES 0x200
#define PARK_SIZES (PARK_BYTES / POOL_UNIT) /* blocks of 2 to 33 units, headers included */
#define PARK_DEPTH 7

typedef struct _POOL_PARK {
    ULONG64 Count;
    PPOOL_HEADER Block[PARK_DEPTH];
} POOL_PARK;

typedef struct _POOL_PARKS {
    POOL_PARK Size[PARK_SIZES][4]; /* for each heap; four, because a shift is shorter than a multiplication by three */
} POOL_PARKS;

C_ASSERT(POOL_HEAPS <= 4);
C_ASSERT(sizeof(POOL_PARKS) == 2 * PAGE_SIZE);

extern POOL_PARKS *MiPoolParks[MAXIMUM_PROCESSORS]; /* NULL until the CPU's first slow allocation */

/* Words of 64 bits throughout: each narrower one costs an instruction more.
 * A parked block of exactly this size, or NULL. Called and left at OldIrql, <= DISPATCH_LEVEL. Does not touch the
 * block. The trace gets its event here, where the CPU stays the same. */
static FORCEINLINE PPOOL_HEADER MiTakeParked(ULONG64 HeapIndex, ULONG64 Units, ULONG64 OldIrql, SIZE_T Bytes, ULONG Tag,
                                             PVOID Caller) {
    PPOOL_HEADER Header = NULL;
    KiSetIrql(DISPATCH_LEVEL);
    POOL_PARKS *Parks = MiPoolParks[KeGetCurrentPrcb()->Number];
    if (Parks != NULL) {
        POOL_PARK *Park = &Parks->Size[Units - POOL_SMALLEST_UNITS][HeapIndex];
        if (Park->Count != 0) {
            Header = Park->Block[--Park->Count];
            KdTracePool(TracePoolAllocate, HeapIndex == POOL_HEAP_PAGED, Header + 1, Bytes, Tag, Caller);
        }
    }
    KiSetIrql(OldIrql);
    return Header;
}

/* Parks a block whose header says so already. FALSE: no room, it is still the caller's. IRQL as above. Tag: the block's,
 * which must not be read here. */
static FORCEINLINE BOOLEAN MiPark(ULONG64 HeapIndex, ULONG64 Units, PPOOL_HEADER Header, ULONG64 OldIrql, ULONG Tag,
                                  PVOID Caller) {
    BOOLEAN HasRoom = FALSE;
    KiSetIrql(DISPATCH_LEVEL);
    KdTracePool(TracePoolFree, HeapIndex == POOL_HEAP_PAGED, Header + 1, (Units - 1) * POOL_UNIT, Tag, Caller);
    POOL_PARKS *Parks = MiPoolParks[KeGetCurrentPrcb()->Number];
    if (Parks != NULL) {
        POOL_PARK *Park = &Parks->Size[Units - POOL_SMALLEST_UNITS][HeapIndex];
        if (Park->Count < PARK_DEPTH) {
            Park->Block[Park->Count++] = Header;
            HasRoom = TRUE;
        }
    }
    KiSetIrql(OldIrql);
    return HasRoom;
}

#endif

/* lookaside.c: lookaside lists: freed blocks of one size, kept in an S-list for the next allocation.
 *
 * The list keeps at most Depth blocks; a block that is freed beyond goes back to the pool. Depth follows the traffic: after
 * each PERIOD allocations it doubles if more than one in 16 had to go to the pool, and shrinks by one if none had to.
 * NT's three kinds differ in the pool they take from and in the form of the caller's own allocate and free routines. */
#include <ex.h>

#define POOL_FLAGS \
    (POOL_NX_ALLOCATION | POOL_RAISE_IF_ALLOCATION_FAILURE) /* they go to the pool, or to the caller's routine */
#define MINIMUM_DEPTH 4
#define MAXIMUM_DEPTH 256
#define PERIOD 256
#define MISSES_TOLERATED (PERIOD / 16)

static VOID Initialize(PGENERAL_LOOKASIDE_POOL Lookaside, POOL_TYPE Type, SIZE_T Size, ULONG Tag) {
    *Lookaside = (GENERAL_LOOKASIDE_POOL){.Depth = MINIMUM_DEPTH,
                                          .MaximumDepth = MAXIMUM_DEPTH,
                                          .Type = Type,
                                          .Tag = Tag,
                                          .Size = (ULONG)(Size < sizeof(SLIST_ENTRY) ? sizeof(SLIST_ENTRY) : Size)};
    ExInitializeSListHead(&Lookaside->ListHead);
    InitializeListHead(&Lookaside->ListEntry);
}

/* The counts are kept without care, as NT does: a lost one makes the depth wrong by a little for a while. */
static VOID AdjustDepth(PGENERAL_LOOKASIDE_POOL Lookaside) {
    if (Lookaside->TotalAllocates - Lookaside->LastTotalAllocates < PERIOD) {
        return;
    }
    ULONG Misses = Lookaside->AllocateMisses - Lookaside->LastAllocateMisses;
    Lookaside->LastTotalAllocates = Lookaside->TotalAllocates;
    Lookaside->LastAllocateMisses = Lookaside->AllocateMisses;
    if (Misses > MISSES_TOLERATED && Lookaside->Depth * 2 <= Lookaside->MaximumDepth) {
        Lookaside->Depth *= 2;
    } else if (Misses == 0 && Lookaside->Depth > MINIMUM_DEPTH) {
        Lookaside->Depth--;
    }
}

/* A waiting block, or NULL. */
static PVOID TakeWaiting(PGENERAL_LOOKASIDE_POOL Lookaside) {
    Lookaside->TotalAllocates++;
    PVOID Block = ExpInterlockedPopEntrySList(&Lookaside->ListHead);
    if (Block == NULL) {
        Lookaside->AllocateMisses++;
    }
    AdjustDepth(Lookaside);
    return Block;
}

/* FALSE: there are enough. */
static BOOLEAN LetWait(PGENERAL_LOOKASIDE_POOL Lookaside, PVOID Block) {
    Lookaside->TotalFrees++;
    if (ExQueryDepthSList(&Lookaside->ListHead) >= Lookaside->Depth) {
        Lookaside->FreeMisses++;
        return FALSE;
    }
    ExpInterlockedPushEntrySList(&Lookaside->ListHead, Block);
    return TRUE;
}

/* ---- NPAGED_LOOKASIDE_LIST and PAGED_LOOKASIDE_LIST: routines without a context ---- */

static VOID InitializeOld(PGENERAL_LOOKASIDE_POOL Lookaside, PALLOCATE_FUNCTION Allocate, PFREE_FUNCTION Free,
                          POOL_TYPE Type, SIZE_T Size, ULONG Tag) {
    Initialize(Lookaside, Type, Size, Tag);
    Lookaside->Allocate = Allocate ? Allocate : ExAllocatePoolWithTag;
    Lookaside->Free = Free ? Free : ExFreePool;
}

static PVOID AllocateOld(PGENERAL_LOOKASIDE_POOL Lookaside) {
    PVOID Block = TakeWaiting(Lookaside);
    if (Block == NULL) {
        Block = Lookaside->Allocate(Lookaside->Type, Lookaside->Size, Lookaside->Tag);
    }
    return Block;
}

static VOID FreeOld(PGENERAL_LOOKASIDE_POOL Lookaside, PVOID Block) {
    if (!LetWait(Lookaside, Block)) {
        Lookaside->Free(Block);
    }
}

static VOID DeleteOld(PGENERAL_LOOKASIDE_POOL Lookaside) {
    PSLIST_ENTRY Entry = ExpInterlockedFlushSList(&Lookaside->ListHead);
    while (Entry != NULL) {
        PSLIST_ENTRY Next = Entry->Next;
        Lookaside->Free(Entry);
        Entry = Next;
    }
}

/* The list head lies in resident memory, aligned to 16. Flags: POOL_NX_ALLOCATION,
 * POOL_RAISE_IF_ALLOCATION_FAILURE; Depth is ignored. <= DISPATCH_LEVEL.
 * wdm.h: ExInitializeNPagedLookasideList. */
VOID ExInitializeNPagedLookasideList(PNPAGED_LOOKASIDE_LIST Lookaside, PALLOCATE_FUNCTION Allocate, PFREE_FUNCTION Free,
                                     ULONG Flags, SIZE_T Size, ULONG Tag, USHORT Depth) {
    UNREFERENCED_PARAMETER(Depth);
    InitializeOld(&Lookaside->L, Allocate, Free, NonPagedPool | (Flags & POOL_FLAGS), Size, Tag);
}

/* All blocks have been freed to it. <= DISPATCH_LEVEL. wdm.h: ExDeleteNPagedLookasideList. */
VOID ExDeleteNPagedLookasideList(PNPAGED_LOOKASIDE_LIST Lookaside) {
    DeleteOld(&Lookaside->L);
}

/* NULL: no memory. <= DISPATCH_LEVEL. wdm.h: ExAllocateFromNPagedLookasideList. */
PVOID ExAllocateFromNPagedLookasideList(PNPAGED_LOOKASIDE_LIST Lookaside) {
    return AllocateOld(&Lookaside->L);
}

VOID ExFreeToNPagedLookasideList(PNPAGED_LOOKASIDE_LIST Lookaside, PVOID Entry) {
    FreeOld(&Lookaside->L, Entry);
}

/* As above, with paged blocks: <= APC_LEVEL. wdm.h: ExInitializePagedLookasideList. */
VOID ExInitializePagedLookasideList(PPAGED_LOOKASIDE_LIST Lookaside, PALLOCATE_FUNCTION Allocate, PFREE_FUNCTION Free,
                                    ULONG Flags, SIZE_T Size, ULONG Tag, USHORT Depth) {
    UNREFERENCED_PARAMETER(Depth);
    InitializeOld(&Lookaside->L, Allocate, Free, PagedPool | (Flags & POOL_RAISE_IF_ALLOCATION_FAILURE), Size, Tag);
}

VOID ExDeletePagedLookasideList(PPAGED_LOOKASIDE_LIST Lookaside) {
    PAGED_CODE();
    DeleteOld(&Lookaside->L);
}

PVOID ExAllocateFromPagedLookasideList(PPAGED_LOOKASIDE_LIST Lookaside) {
    PAGED_CODE();
    return AllocateOld(&Lookaside->L);
}

VOID ExFreeToPagedLookasideList(PPAGED_LOOKASIDE_LIST Lookaside, PVOID Entry) {
    PAGED_CODE();
    FreeOld(&Lookaside->L, Entry);
}

/* ---- LOOKASIDE_LIST_EX: routines that are given the list ---- */

static PVOID AllocateFromPool(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag, PLOOKASIDE_LIST_EX Lookaside) {
    UNREFERENCED_PARAMETER(Lookaside);
    return ExAllocatePoolWithTag(PoolType, NumberOfBytes, Tag);
}

/* EX_LOOKASIDE_LIST_EX_FLAGS_RAISE_ON_FAIL: no code catches it, so it stops the machine. */
static PVOID AllocateOrRaise(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag, PLOOKASIDE_LIST_EX Lookaside) {
    PVOID Block = AllocateFromPool(PoolType, NumberOfBytes, Tag, Lookaside);
    if (Block == NULL) {
        ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    }
    return Block;
}

static VOID FreeToPool(PVOID Buffer, PLOOKASIDE_LIST_EX Lookaside) {
    UNREFERENCED_PARAMETER(Lookaside);
    ExFreePool(Buffer);
}

/* STATUS_INVALID_PARAMETER_5: unknown flags, or both. <= DISPATCH_LEVEL. wdm.h: ExInitializeLookasideListEx. */
NTSTATUS ExInitializeLookasideListEx(PLOOKASIDE_LIST_EX Lookaside, PALLOCATE_FUNCTION_EX Allocate,
                                     PFREE_FUNCTION_EX Free, POOL_TYPE PoolType, ULONG Flags, SIZE_T Size, ULONG Tag,
                                     USHORT Depth) {
    UNREFERENCED_PARAMETER(Depth);
    if (Flags > EX_LOOKASIDE_LIST_EX_FLAGS_FAIL_NO_RAISE) {
        return STATUS_INVALID_PARAMETER_5;
    }
    Initialize(&Lookaside->L, PoolType, Size, Tag);
    BOOLEAN Raises = Flags == EX_LOOKASIDE_LIST_EX_FLAGS_RAISE_ON_FAIL;
    Lookaside->L.AllocateEx = Allocate ? Allocate : Raises ? AllocateOrRaise : AllocateFromPool;
    Lookaside->L.FreeEx = Free ? Free : FreeToPool;
    return STATUS_SUCCESS;
}

/* The IRQL limits of the pool that it takes from hold for the rest. wdm.h: ExFlushLookasideListEx. */
VOID ExFlushLookasideListEx(PLOOKASIDE_LIST_EX Lookaside) {
    PSLIST_ENTRY Entry = ExpInterlockedFlushSList(&Lookaside->L.ListHead);
    while (Entry != NULL) {
        PSLIST_ENTRY Next = Entry->Next;
        Lookaside->L.FreeEx(Entry, Lookaside);
        Entry = Next;
    }
}

VOID ExDeleteLookasideListEx(PLOOKASIDE_LIST_EX Lookaside) {
    ExFlushLookasideListEx(Lookaside);
}

PVOID ExAllocateFromLookasideListEx(PLOOKASIDE_LIST_EX Lookaside) {
    PVOID Block = TakeWaiting(&Lookaside->L);
    if (Block == NULL) {
        Block = Lookaside->L.AllocateEx(Lookaside->L.Type, Lookaside->L.Size, Lookaside->L.Tag, Lookaside);
    }
    return Block;
}

VOID ExFreeToLookasideListEx(PLOOKASIDE_LIST_EX Lookaside, PVOID Entry) {
    if (!LetWait(&Lookaside->L, Entry)) {
        Lookaside->L.FreeEx(Entry, Lookaside);
    }
}

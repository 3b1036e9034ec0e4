/* verifierpool.c: thunks of the pool: each call checked, each block tracked, special pool where it fits.
 *
 *      allocate -> size and IRQL -> low resources (fails on purpose) -> special pool -> normal pool with a tail -> track
 *      free     -> IRQL, freed before, never allocated -> ExFreePoolWithTag -> VfNotifyFree (verifiertrack.c)
 *
 * Low-resources simulation fails 6 of 100 allocations by a sequence that the boot's seed decides: the same seed and the
 * same order of calls fail the same ones. */
#include "vf.h"

#pragma weak ExAllocatePoolWithQuotaTag
#pragma weak ExAllocatePoolWithQuota
#pragma weak ExAllocatePoolWithTagPriority
#pragma weak ExAllocatePool3
#pragma weak ExFreePool2

#define FAILURES_IN_100 6
#define POOL_FREE_HEADER_IN_USE 0x04 /* mm/pool.h: POOL_IN_USE */
#define HEADER_BYTES 16
#define TYPE_PAGED 1
#define TYPE_RAISE 16
#define TYPE_NX 512
#define TYPE_ZERO 1024
#define TYPE_CACHE_ALIGNED 4

static volatile LONG64 Requests;

/* ---- Failing on purpose ---- */

/* TRUE: this request fails. Any IRQL. */
static BOOLEAN FailsOnPurpose(VOID) {
    if (!VfHas(VF_LOW_RESOURCES)) {
        return FALSE;
    }
    ULONG64 Mixed = (KeSeed + 1) * 0x9E3779B97F4A7C15ULL + (ULONG64)InterlockedIncrement64(&Requests);
    Mixed = (Mixed ^ Mixed >> 30) * 0xBF58476D1CE4E5B9ULL;
    Mixed = (Mixed ^ Mixed >> 27) * 0x94D049BB133111EBULL;
    if ((Mixed ^ Mixed >> 31) % 100 >= FAILURES_IN_100) {
        return FALSE;
    }
    InterlockedIncrement(&VfStatistics.AllocationsFailedDeliberately);
    return TRUE;
}

/* ---- Allocating ---- */

/* 0xC4 (0x00, IRQL, type, 0); (0x01 paged, 0x02 nonpaged, IRQL, type, bytes) above the pool's level. */
static VOID CheckRequest(POOL_TYPE PoolType, SIZE_T Bytes) {
    KIRQL Irql = KiCurrentIrql();
    if (Bytes == 0) {
        VF_STOP(0x00, Irql, PoolType, 0);
    }
    if (PoolType & TYPE_PAGED && Irql > APC_LEVEL) {
        VF_STOP(0x01, Irql, PoolType, Bytes);
    }
    if (Irql > DISPATCH_LEVEL) {
        VF_STOP(0x02, Irql, PoolType, Bytes);
    }
}

/* Normal pool gives page-aligned memory for whole pages: a tail must not make a small block of one, nor the reverse. */
static BOOLEAN TakesTail(SIZE_T Bytes) {
    return VfHas(VF_TRACKING) && Bytes + VF_TAIL_BYTES > Bytes && Bytes + VF_TAIL_BYTES <= PAGE_SIZE - 64;
}

/* A block for the driver that Caller belongs to, or NULL. Flags are those of ExAllocatePool2, 0 for the older calls;
 * the normal pool must get the same call, because its checks differ. */
static PVOID Allocate(POOL_TYPE PoolType, POOL_FLAGS Flags, SIZE_T Bytes, ULONG Tag, PVOID Caller) {
    BOOLEAN HasTail = FALSE;
    InterlockedIncrement(&VfStatistics.AllocationsAttempted);
    if (FailsOnPurpose()) {
        return NULL;
    }
    PVOID P = VfHas(VF_SPECIAL_POOL) ? MmAllocateSpecialPool(PoolType, Bytes, Tag) : NULL;
    if (P != NULL) {
        InterlockedIncrement(&VfStatistics.AllocationsSucceededSpecialPool);
    } else {
        HasTail = TakesTail(Bytes);
        SIZE_T Wanted = Bytes + (HasTail ? VF_TAIL_BYTES : 0);
        P = Flags ? ExAllocatePool2(Flags & ~POOL_FLAG_RAISE_ON_FAILURE, Wanted, Tag)
                  : ExAllocatePoolWithTag((POOL_TYPE)(PoolType & ~TYPE_RAISE), Wanted, Tag);
    }
    if (P == NULL) {
        InterlockedIncrement(&VfStatistics.AllocationsFailed);
        return NULL;
    }
    InterlockedIncrement(&VfStatistics.AllocationsSucceeded);
    VfTrackBlock(P, Bytes, Tag, (PoolType & TYPE_PAGED) != 0, HasTail, Caller);
    return P;
}

static PVOID AllocateByType(POOL_TYPE PoolType, SIZE_T Bytes, ULONG Tag, PVOID Caller) {
    CheckRequest(PoolType, Bytes);
    PVOID P = Allocate(PoolType, 0, Bytes, Tag, Caller);
    if (P == NULL && PoolType & TYPE_RAISE) {
        ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    }
    return P;
}

static PVOID VerifierAllocatePoolWithTag(POOL_TYPE PoolType, SIZE_T Bytes, ULONG Tag) {
    return AllocateByType(PoolType, Bytes, Tag, _ReturnAddress());
}

static PVOID VerifierAllocatePool(POOL_TYPE PoolType, SIZE_T Bytes) {
    return AllocateByType(PoolType, Bytes, 'enoN', _ReturnAddress());
}

static PVOID VerifierAllocatePoolWithTagPriority(POOL_TYPE PoolType, SIZE_T Bytes, ULONG Tag,
                                                 EX_POOL_PRIORITY Priority) {
    UNREFERENCED_PARAMETER(Priority);
    return AllocateByType(PoolType, Bytes, Tag, _ReturnAddress());
}

/* Quota raises by itself, unless it is asked not to. */
static POOL_TYPE QuotaType(POOL_TYPE PoolType) {
    ULONG Type = (ULONG)PoolType;
    return (POOL_TYPE)(Type & POOL_QUOTA_FAIL_INSTEAD_OF_RAISE ? Type & ~POOL_QUOTA_FAIL_INSTEAD_OF_RAISE
                                                               : Type | TYPE_RAISE);
}

static PVOID VerifierAllocatePoolWithQuotaTag(POOL_TYPE PoolType, SIZE_T Bytes, ULONG Tag) {
    return AllocateByType(QuotaType(PoolType), Bytes, Tag, _ReturnAddress());
}

static PVOID VerifierAllocatePoolWithQuota(POOL_TYPE PoolType, SIZE_T Bytes) {
    return AllocateByType(QuotaType(PoolType), Bytes, 'enoN', _ReturnAddress());
}

/* FALSE: flags that ExAllocatePool2 itself refuses with NULL. */
static BOOLEAN TypeOfFlags(POOL_FLAGS Flags, ULONG Tag, POOL_TYPE *PoolType) {
    POOL_FLAGS Pool = Flags & (POOL_FLAG_NON_PAGED | POOL_FLAG_NON_PAGED_EXECUTE | POOL_FLAG_PAGED);
    const POOL_FLAGS Known = POOL_FLAG_NON_PAGED | POOL_FLAG_NON_PAGED_EXECUTE | POOL_FLAG_PAGED | POOL_FLAG_USE_QUOTA |
                             POOL_FLAG_UNINITIALIZED | POOL_FLAG_CACHE_ALIGNED | POOL_FLAG_RAISE_ON_FAILURE;
    if (Tag == 0 || Pool == 0 || (Pool & (Pool - 1)) != 0 || ((Flags & 0xFFFFFFFF) & ~Known) != 0) {
        return FALSE;
    }
    ULONG Type = Pool == POOL_FLAG_PAGED ? TYPE_PAGED : Pool == POOL_FLAG_NON_PAGED ? TYPE_NX : 0;
    Type |= Flags & POOL_FLAG_CACHE_ALIGNED ? TYPE_CACHE_ALIGNED : 0;
    Type |= Flags & POOL_FLAG_UNINITIALIZED ? 0 : TYPE_ZERO;
    *PoolType = (POOL_TYPE)Type;
    return TRUE;
}

static PVOID AllocateByFlags(POOL_FLAGS Flags, SIZE_T Bytes, ULONG Tag, PVOID Caller) {
    POOL_TYPE PoolType;
    if (!TypeOfFlags(Flags, Tag, &PoolType)) {
        return ExAllocatePool2(Flags, Bytes, Tag);
    }
    CheckRequest(PoolType, Bytes);
    PVOID P = Allocate(PoolType, Flags, Bytes, Tag, Caller);
    if (P == NULL && Flags & POOL_FLAG_RAISE_ON_FAILURE) {
        ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    }
    return P;
}

static PVOID VerifierAllocatePool2(POOL_FLAGS Flags, SIZE_T Bytes, ULONG Tag) {
    return AllocateByFlags(Flags, Bytes, Tag, _ReturnAddress());
}

static PVOID VerifierAllocatePool3(POOL_FLAGS Flags, SIZE_T Bytes, ULONG Tag, PCPOOL_EXTENDED_PARAMETER Parameters,
                                   ULONG Count) {
    return Count != 0 ? ExAllocatePool3(Flags, Bytes, Tag, Parameters, Count)
                      : AllocateByFlags(Flags, Bytes, Tag, _ReturnAddress());
}

/* ---- Freeing ---- */

/* The pool's own header in front of a small block; NULL where there is none. */
static const ULONG64 *HeaderOf(PVOID P, BOOLEAN IsPaged) {
    const ULONG64 *Header = (const ULONG64 *)((ULONG64)P - HEADER_BYTES);
    if (BYTE_OFFSET(P) == 0 || BYTE_OFFSET(P) % HEADER_BYTES != 0) {
        return NULL;
    }
    return IsPaged || MmIsAddressValid((PVOID)Header) ? Header : NULL;
}

/* 0xC4 (0x11 paged, 0x12 nonpaged, IRQL, type, block); (0x10, address, 0, 0) for an address of no block; (0x13, 0,
 * header, its contents) for a block that is free; (0x16, 0, address, 0) for one that no block can have. Damage that
 * special pool can describe better (0xC1) is left to it. */
static VOID CheckFree(PVOID P) {
    ULONG64 Va = (ULONG64)P;
    MM_REGION_KIND Kind = MmFindRegion(Va)->Kind;
    BOOLEAN IsPaged = Kind == RegionPagedPool || Kind == RegionSpecialPagedPool;
    KIRQL Irql = KiCurrentIrql();
    if (IsPaged ? Irql > APC_LEVEL : Irql > DISPATCH_LEVEL) {
        VF_STOP(IsPaged ? 0x11 : 0x12, Irql, IsPaged ? PagedPool : NonPagedPool, Va);
    }
    if (MmIsSpecialPool(Va) || VfIsBlock(P) || P == NULL) {
        return;
    }
    if (VfIsTracked(P)) {
        VF_STOP(0x16, 0, Va, 0); /* inside a block that is in use */
    }
    if (Kind != RegionPagedPool && Kind != RegionNonPagedPool) {
        VF_STOP(0x10, Va, 0, 0);
    }
    const ULONG64 *Header = HeaderOf(P, IsPaged);
    if (Header == NULL) {
        if (BYTE_OFFSET(P) != 0) {
            VF_STOP(0x16, 0, Va, 0);
        }
        return; /* whole pages: the table of the normal pool knows (0x19, 0x22) */
    }
    if (!(((const UCHAR *)Header)[3] & POOL_FREE_HEADER_IN_USE)) {
        VF_STOP(0x13, 0, Header, *Header);
    }
}

static VOID VerifierFreePoolWithTag(PVOID P, ULONG Tag) {
    CheckFree(P);
    ExFreePoolWithTag(P, Tag);
}

static VOID VerifierFreePool(PVOID P) {
    CheckFree(P);
    ExFreePoolWithTag(P, 0);
}

static VOID VerifierFreePool2(PVOID P, ULONG Tag, PCPOOL_EXTENDED_PARAMETER Parameters, ULONG Count) {
    CheckFree(P);
    ExFreePool2(P, Tag, Parameters, Count);
}

/* ---- Other things that may run out ---- */

static PVOID VerifierAllocateContiguousMemory(SIZE_T Bytes, PHYSICAL_ADDRESS Highest) {
    return FailsOnPurpose() ? NULL : MmAllocateContiguousMemory(Bytes, Highest);
}

static PIRP VerifierAllocateIrp(CCHAR StackSize, BOOLEAN ChargeQuota) {
    return FailsOnPurpose() ? NULL : IoAllocateIrp(StackSize, ChargeQuota);
}

const VF_THUNK VfPoolThunks[] = {
    {"ExAllocatePool", VerifierAllocatePool},
    {"ExAllocatePoolWithTag", VerifierAllocatePoolWithTag},
    {"ExAllocatePoolWithTagPriority", VerifierAllocatePoolWithTagPriority},
    {"ExAllocatePoolWithQuota", VerifierAllocatePoolWithQuota},
    {"ExAllocatePoolWithQuotaTag", VerifierAllocatePoolWithQuotaTag},
    {"ExAllocatePool2", VerifierAllocatePool2},
    {"ExAllocatePool3", VerifierAllocatePool3},
    {"ExFreePool", VerifierFreePool},
    {"ExFreePoolWithTag", VerifierFreePoolWithTag},
    {"ExFreePool2", VerifierFreePool2},
    {"MmAllocateContiguousMemory", VerifierAllocateContiguousMemory},
    {"IoAllocateIrp", VerifierAllocateIrp},
    {NULL, NULL},
};

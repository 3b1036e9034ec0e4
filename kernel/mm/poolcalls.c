/* poolcalls.c: newer allocation calls: by flags, with extended parameters, with quota, with a priority.
 *
 * There is one process, and it has no limit: no quota is charged. Only the way a failure shows is left of it. */
#include "pool.h"

#define POOL_CACHE_ALIGNED 4
#define POOL_TYPE_FLAGS (POOL_QUOTA_FAIL | POOL_RAISE)

/* The POOL_TYPE for ExAllocatePool2's flags. FALSE: not exactly one pool, or a flag that must be known and is not. */
static BOOLEAN PoolTypeOfFlags(POOL_FLAGS Flags, ULONG *PoolType) {
    const POOL_FLAGS Pools = POOL_FLAG_NON_PAGED | POOL_FLAG_NON_PAGED_EXECUTE | POOL_FLAG_PAGED;
    const POOL_FLAGS Known = Pools | POOL_FLAG_USE_QUOTA | POOL_FLAG_UNINITIALIZED | POOL_FLAG_SESSION |
                             POOL_FLAG_CACHE_ALIGNED | POOL_FLAG_RAISE_ON_FAILURE;
    POOL_FLAGS Pool = Flags & Pools;
    if (Pool == 0 || (Pool & (Pool - 1)) != 0 || ((Flags & 0xFFFFFFFF) & ~Known) != 0) {
        return FALSE;
    }
    *PoolType = Pool == POOL_FLAG_PAGED ? PagedPool : Pool == POOL_FLAG_NON_PAGED ? NonPagedPoolNx : NonPagedPool;
    *PoolType |= Flags & POOL_FLAG_CACHE_ALIGNED ? POOL_CACHE_ALIGNED : 0;
    *PoolType |= Flags & POOL_FLAG_RAISE_ON_FAILURE ? POOL_RAISE : 0;
    return TRUE;
}

static PVOID AllocateByFlags(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag, PVOID Caller) {
    ULONG PoolType;
    if (Tag == 0 || !PoolTypeOfFlags(Flags, &PoolType)) {
        if (Flags & POOL_FLAG_RAISE_ON_FAILURE) {
            ExRaiseStatus(STATUS_INVALID_PARAMETER);
        }
        return NULL;
    }
    PVOID P = MiAllocatePool((POOL_TYPE)PoolType, NumberOfBytes, Tag, Caller, PoolCallHeap);
    if (P != NULL && !(Flags & POOL_FLAG_UNINITIALIZED)) {
        memset(P, 0, NumberOfBytes);
    }
    return P;
}

/* As ExAllocatePoolWithTag, but cleared, and a bad argument is a NULL: no tag, not one pool, a flag below bit 32 that is
 * not known; flags above are requests that need not be met. Damage to free blocks stops the machine: 0x13A. */
PVOID ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag) {
    return AllocateByFlags(Flags, NumberOfBytes, Tag, _ReturnAddress());
}

/* As ExAllocatePool2. A priority or a node is taken as advice; secure pool, or a parameter that is not known, fails
 * unless it is marked optional. */
PVOID ExAllocatePool3(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag, PCPOOL_EXTENDED_PARAMETER ExtendedParameters,
                      ULONG ExtendedParametersCount) {
    for (ULONG i = 0; i < ExtendedParametersCount; i++) {
        ULONG Type = (ULONG)ExtendedParameters[i].Type;
        BOOLEAN IsAdvice = Type == PoolExtendedParameterPriority || Type == PoolExtendedParameterNumaNode;
        if (!IsAdvice && !ExtendedParameters[i].Optional) {
            return NULL;
        }
    }
    return AllocateByFlags(Flags, NumberOfBytes, Tag, _ReturnAddress());
}

/* As ExAllocatePoolWithTag, but no memory is an exception, unless the type has POOL_QUOTA_FAIL_INSTEAD_OF_RAISE. */
PVOID ExAllocatePoolWithQuotaTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag) {
    ULONG Type = (ULONG)PoolType & ~POOL_TYPE_FLAGS;
    Type |= PoolType & POOL_QUOTA_FAIL ? 0 : POOL_RAISE;
    return MiAllocatePool((POOL_TYPE)Type, NumberOfBytes, Tag, _ReturnAddress(), PoolCallClassic);
}

PVOID ExAllocatePoolWithQuota(POOL_TYPE PoolType, SIZE_T NumberOfBytes) {
    return ExAllocatePoolWithQuotaTag(PoolType, NumberOfBytes, 'enoN');
}

/* As ExAllocatePoolWithTag; the priority is advice for when memory is short, and is not needed here. */
PVOID ExAllocatePoolWithTagPriority(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag, EX_POOL_PRIORITY Priority) {
    UNREFERENCED_PARAMETER(Priority);
    return MiAllocatePool(PoolType, NumberOfBytes, Tag, _ReturnAddress(), PoolCallClassic);
}

/* As ExFreePoolWithTag. */
VOID ExFreePool2(PVOID P, ULONG Tag, PCPOOL_EXTENDED_PARAMETER ExtendedParameters, ULONG ExtendedParametersCount) {
    UNREFERENCED_PARAMETER(ExtendedParameters);
    UNREFERENCED_PARAMETER(ExtendedParametersCount);
    ExFreePoolWithTag(P, Tag);
}

/* test_pool.c: the pool gives out blocks that are aligned, apart from each other, tagged, and found again; and takes
 * them back. */
#include "../../kernel/mm/pool.h"
#include "ktest.h"

#define TAG 'tseT' /* "Test" */

static const POOL_TYPE Types[] = {NonPagedPool, NonPagedPoolNx, PagedPool};

static PPOOL_HEADER HeaderOf(PVOID P) {
    return (PPOOL_HEADER)P - 1;
}

/* ---- Geometry ---- */

KTEST(pool_small_block_has_a_header_that_describes_it) {
    for (ULONG Type = 0; Type < RTL_NUMBER_OF(Types); Type++) {
        for (SIZE_T Bytes = 1; Bytes <= POOL_SMALL_LIMIT; Bytes += 61) {
            PVOID P = ExAllocatePoolWithTag(Types[Type], Bytes, TAG);
            KT_REQUIRE(P != NULL);
            PPOOL_HEADER Header = HeaderOf(P);
            KT_EXPECT_EQ((ULONG64)P % POOL_UNIT, 0);
            KT_EXPECT(PAGE_ALIGN(Header) == PAGE_ALIGN((PUCHAR)P + Bytes - 1));
            KT_EXPECT((SIZE_T)(Header->BlockSize - 1) * POOL_UNIT >= Bytes);
            KT_EXPECT_EQ(Header->PoolTag, TAG);
            KT_EXPECT(Header->PoolType & POOL_IN_USE);
            KT_EXPECT_EQ(MmFindRegion((ULONG64)P)->Kind,
                         Types[Type] == PagedPool ? RegionPagedPool : RegionNonPagedPool);
            memset(P, 0xA5, Bytes);
            ExFreePoolWithTag(P, TAG);
            KT_EXPECT(Bytes > 0x200 || !(Header->PoolType & POOL_IN_USE)); /* a larger one's page may be gone */
        }
    }
}

KTEST(pool_0xFE0_bytes_have_a_header_and_0xFE1_whole_pages) {
    for (ULONG Type = 0; Type < RTL_NUMBER_OF(Types); Type++) {
        PVOID Small = ExAllocatePoolWithTag(Types[Type], 0xFE0, TAG);
        PVOID Large = ExAllocatePoolWithTag(Types[Type], 0xFE1, TAG);
        PVOID Larger = ExAllocatePoolWithTag(Types[Type], 3 * PAGE_SIZE + 1, TAG);
        KT_REQUIRE(Small != NULL && Large != NULL && Larger != NULL);
        KT_EXPECT_EQ(BYTE_OFFSET(Small), POOL_UNIT);
        KT_EXPECT_EQ(BYTE_OFFSET(Large), 0);
        KT_EXPECT_EQ(BYTE_OFFSET(Larger), 0);
        memset(Small, 1, 0xFE0);
        memset(Large, 2, 0xFE1);
        memset(Larger, 3, 3 * PAGE_SIZE + 1);
        ExFreePool(Small);
        ExFreePool(Large);
        ExFreePool(Larger);
    }
}

KTEST(pool_zero_bytes_are_a_block) {
    PVOID A = ExAllocatePoolWithTag(NonPagedPoolNx, 0, TAG), B = ExAllocatePoolWithTag(NonPagedPoolNx, 0, TAG);
    KT_EXPECT(A != NULL && B != NULL && A != B);
    ExFreePool(A);
    ExFreePool(B);
}

KTEST(pool_cache_aligned_blocks_are_aligned_to_64_bytes) {
    for (SIZE_T Bytes = 1; Bytes < 2 * PAGE_SIZE; Bytes += 97) {
        PVOID NonPaged = ExAllocatePoolWithTag(NonPagedPoolNxCacheAligned, Bytes, TAG);
        PVOID Paged = ExAllocatePoolWithTag(PagedPoolCacheAligned, Bytes, TAG);
        KT_REQUIRE(NonPaged != NULL && Paged != NULL);
        KT_EXPECT_EQ((ULONG64)NonPaged % 64, 0);
        KT_EXPECT_EQ((ULONG64)Paged % 64, 0);
        ExFreePoolWithTag(NonPaged, TAG);
        ExFreePoolWithTag(Paged, TAG);
    }
}

KTEST(pool_NonPagedPool_is_executable_and_Nx_is_not) {
    PVOID Executable = ExAllocatePoolWithTag(NonPagedPool, 100, TAG);
    PVOID Nx = ExAllocatePoolWithTag(NonPagedPoolNx, 100, TAG);
    PVOID LargeNx = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, TAG);
    KT_REQUIRE(Executable != NULL && Nx != NULL && LargeNx != NULL);
    KT_EXPECT(!(*MiGetPteAddress((ULONG64)Executable) & PTE_NX));
    KT_EXPECT(*MiGetPteAddress((ULONG64)Nx) & PTE_NX);
    KT_EXPECT(*MiGetPteAddress((ULONG64)LargeNx) & PTE_NX);
    ExFreePool(Executable);
    ExFreePool(Nx);
    ExFreePool(LargeNx);
}

/* ---- A heap of the test's own: carving and joining, seen from inside ---- */

static ULONG SumOfPage(PVOID Page) {
    ULONG Units = 0, PreviousUnits = 0;
    while (Units < POOL_UNITS_PER_PAGE) {
        PPOOL_HEADER Header = (PPOOL_HEADER)Page + Units;
        KT_EXPECT_EQ(Header->PreviousSize, PreviousUnits);
        if (Header->BlockSize == 0) {
            break;
        }
        PreviousUnits = Header->BlockSize;
        Units += PreviousUnits;
    }
    return Units;
}

/* Takes and returns blocks in a random order; the page's headers add up after each step, and in the end it is whole. */
KTEST(pool_blocks_of_a_page_always_add_up_and_join_when_free) {
    static POOL_HEAP Heap;
    PPOOL_HEADER Held[POOL_UNITS_PER_PAGE / 2];
    KT_RANDOM Random;
    PVOID Page = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, TAG), EmptyPage = NULL;

    KT_REQUIRE(Page != NULL);
    KtSeedRandom(&Random, 1);
    for (ULONG Round = 0; Round < KtStress(50); Round++) {
        ULONG Count = 0;
        MiInitializePoolHeap(&Heap, POOL_HEAP_NX);
        memset(Heap.NotEmpty, 0, sizeof(Heap.NotEmpty));
        Held[Count++] = MiTakeFromNewPoolPage(&Heap, Page, 2 + KtRandom(&Random, 8), 1);
        for (ULONG Step = 0; Step < 300; Step++) {
            if (KtRandom(&Random, 2) && Count < RTL_NUMBER_OF(Held)) {
                ULONG Align = KtRandom(&Random, 4) == 0 ? 4 : 1;
                PPOOL_HEADER Header = MiTakePoolBlock(&Heap, 2 + KtRandom(&Random, 30), Align, PoolCallClassic);
                if (Header != NULL) {
                    KT_EXPECT_EQ((ULONG64)(Header + 1) % (Align * POOL_UNIT), 0);
                    Held[Count++] = Header;
                }
            } else if (Count > 1) {
                ULONG Index = KtRandom(&Random, Count);
                EmptyPage = MiReturnPoolBlock(&Heap, Held[Index]);
                Held[Index] = Held[--Count];
                KT_EXPECT_EQ(EmptyPage, 0);
            }
            KT_EXPECT_EQ(SumOfPage(Page), POOL_UNITS_PER_PAGE);
        }
        while (Count > 0) {
            EmptyPage = MiReturnPoolBlock(&Heap, Held[--Count]);
        }
        KT_EXPECT_EQ(EmptyPage, Page);
        KT_EXPECT_EQ(Heap.NotEmpty[0] | Heap.NotEmpty[1] | Heap.NotEmpty[2] | Heap.NotEmpty[3], 0);
    }
    ExFreePoolWithTag(Page, TAG);
}

KTEST(pool_page_of_free_blocks_goes_back_to_the_memory_manager) {
    enum { BLOCKS = 200 };
    static PVOID P[BLOCKS];
    MM_STATISTICS Before, During, After;
    MmQueryStatistics(&Before);
    for (ULONG Index = 0; Index < BLOCKS; Index++) {
        P[Index] = ExAllocatePoolWithTag(NonPagedPoolNx, 0x800, TAG);
        KT_REQUIRE(P[Index] != NULL);
    }
    MmQueryStatistics(&During);
    for (ULONG Index = 0; Index < BLOCKS; Index++) {
        ExFreePoolWithTag(P[Index], TAG);
    }
    MmQueryStatistics(&After);
    KT_EXPECT(During.NonPagedPoolBytes >= Before.NonPagedPoolBytes + (BLOCKS - 4) * PAGE_SIZE);
    KT_EXPECT(After.NonPagedPoolBytes <= Before.NonPagedPoolBytes + 4 * PAGE_SIZE);
}

/* ---- Contents ---- */

typedef struct _OWNED {
    PUCHAR P;
    SIZE_T Bytes;
    UCHAR Fill;
} OWNED;

static VOID CheckAndFree(OWNED *Owned, volatile LONG *Damaged) {
    for (SIZE_T Index = 0; Index < Owned->Bytes; Index++) {
        if (Owned->P[Index] != Owned->Fill) {
            InterlockedIncrement(Damaged);
            break;
        }
    }
    ExFreePoolWithTag(Owned->P, TAG);
    Owned->P = NULL;
}

typedef struct _STRESS {
    POOL_TYPE Type;
    volatile LONG Damaged, Failed;
} STRESS;

static VOID StressPool(ULONG Processor, PVOID Context) {
    enum { SLOTS = 24 };
    OWNED Owned[SLOTS] = {{0}};
    STRESS *Stress = Context;
    KT_RANDOM Random;
    KtSeedRandom(&Random, Processor);
    for (ULONG Round = 0; Round < KtStress(3000); Round++) {
        OWNED *Slot = &Owned[KtRandom(&Random, SLOTS)];
        if (Slot->P != NULL) {
            CheckAndFree(Slot, &Stress->Damaged);
            continue;
        }
        Slot->Bytes = KtRandom(&Random, 16) == 0 ? KtRandom(&Random, 3 * PAGE_SIZE) : KtRandom(&Random, 700);
        Slot->Fill = (UCHAR)KtRandom(&Random, 256);
        Slot->P = ExAllocatePoolWithTag(Stress->Type, Slot->Bytes, TAG);
        if (Slot->P == NULL) {
            InterlockedIncrement(&Stress->Failed);
        } else {
            memset(Slot->P, Slot->Fill, Slot->Bytes);
        }
    }
    for (ULONG Index = 0; Index < SLOTS; Index++) {
        if (Owned[Index].P != NULL) {
            CheckAndFree(&Owned[Index], &Stress->Damaged);
        }
    }
}

static VOID ExpectBlocksKeepTheirContents(POOL_TYPE Type) {
    STRESS Stress = {.Type = Type};
    MM_POOL_TAG_USE Before, After;
    MmQueryPoolTag(TAG, Type == PagedPool, &Before);
    KtRunOnAllCpus(StressPool, &Stress);
    MmQueryPoolTag(TAG, Type == PagedPool, &After);
    KT_EXPECT_EQ(Stress.Damaged, 0);
    KT_EXPECT_EQ(Stress.Failed, 0);
    KT_EXPECT_EQ(After.Bytes, Before.Bytes);
    KT_EXPECT_EQ(After.Allocs - After.Frees, Before.Allocs - Before.Frees);
}

KTEST(pool_nonpaged_blocks_keep_their_contents_on_all_cpus) {
    ExpectBlocksKeepTheirContents(NonPagedPoolNx);
}

KTEST(pool_paged_blocks_keep_their_contents_on_all_cpus) {
    ExpectBlocksKeepTheirContents(PagedPool);
}

KTEST(pool_nonpaged_works_at_DISPATCH_LEVEL_and_paged_at_APC_LEVEL) {
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    PVOID Small = ExAllocatePoolWithTag(NonPagedPoolNx, 64, TAG),
          Large = ExAllocatePoolWithTag(NonPagedPool, 9000, TAG);
    ExFreePool(Small);
    ExFreePool(Large);
    KIRQL AfterNonPaged = KeGetCurrentIrql();
    KeLowerIrql(APC_LEVEL);
    PVOID Paged = ExAllocatePoolWithTag(PagedPool, 64, TAG), LargePaged = ExAllocatePoolWithTag(PagedPool, 9000, TAG);
    ExFreePool(Paged);
    ExFreePool(LargePaged);
    KIRQL AfterPaged = KeGetCurrentIrql();
    KeLowerIrql(OldIrql);
    KT_EXPECT(Small != NULL && Large != NULL && Paged != NULL && LargePaged != NULL);
    KT_EXPECT_EQ(AfterNonPaged, DISPATCH_LEVEL);
    KT_EXPECT_EQ(AfterPaged, APC_LEVEL);
}

/* ---- ExAllocatePool2 ---- */

static BOOLEAN IsClear(const UCHAR *P, SIZE_T Bytes) {
    for (SIZE_T Index = 0; Index < Bytes; Index++) {
        if (P[Index] != 0) {
            return FALSE;
        }
    }
    return TRUE;
}

KTEST(pool_ExAllocatePool2_clears) {
    static const POOL_FLAGS Flags[] = {POOL_FLAG_NON_PAGED, POOL_FLAG_NON_PAGED_EXECUTE, POOL_FLAG_PAGED,
                                       POOL_FLAG_NON_PAGED | POOL_FLAG_CACHE_ALIGNED};
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Flags); Index++) {
        for (SIZE_T Bytes = 16; Bytes < 2 * PAGE_SIZE; Bytes *= 2) {
            PVOID Dirty = ExAllocatePool2(Flags[Index], Bytes, TAG);
            KT_REQUIRE(Dirty != NULL);
            memset(Dirty, 0xFF, Bytes);
            ExFreePoolWithTag(Dirty, TAG);
            PVOID P = ExAllocatePool2(Flags[Index], Bytes, TAG);
            KT_REQUIRE(P != NULL);
            KT_EXPECT(IsClear(P, Bytes));
            ExFreePoolWithTag(P, TAG);
        }
    }
}

KTEST(pool_ExAllocatePool2_refuses_bad_flags_with_NULL) {
    KT_EXPECT_EQ(ExAllocatePool2(POOL_FLAG_PAGED, 64, 0), 0);
    KT_EXPECT_EQ(ExAllocatePool2(0, 64, TAG), 0);
    KT_EXPECT_EQ(ExAllocatePool2(POOL_FLAG_PAGED | POOL_FLAG_NON_PAGED, 64, TAG), 0);
    KT_EXPECT_EQ(ExAllocatePool2(POOL_FLAG_PAGED | 0x10000, 64, TAG), 0);
    PVOID P = ExAllocatePool2(POOL_FLAG_PAGED | 0x8000000000000000ULL, 64, TAG); /* optional flags may be unknown */
    KT_EXPECT(P != NULL);
    ExFreePool(P);
}

/* ---- Tags ---- */

KTEST(pool_counts_what_each_tag_holds) {
    MM_POOL_TAG_USE Before, During, After;
    MmQueryPoolTag('dtnC', FALSE, &Before);
    PVOID P = ExAllocatePoolWithTag(NonPagedPoolNx, 100, 'dtnC');
    PVOID Large = ExAllocatePoolWithTag(NonPagedPoolNx, 5000, 'dtnC');
    MmQueryPoolTag('dtnC', FALSE, &During);
    ExFreePool(P);
    ExFreePool(Large);
    MmQueryPoolTag('dtnC', FALSE, &After);
    KT_EXPECT_EQ(During.Bytes - Before.Bytes, 128 + 2 * PAGE_SIZE);
    KT_EXPECT_EQ(During.Allocs - Before.Allocs, 2);
    KT_EXPECT_EQ(After.Frees - Before.Frees, 2);
    KT_EXPECT_EQ(After.Bytes, Before.Bytes);
}

/* The table goes to COM1; this only tests that it may be printed at any level. */
KTEST(pool_prints_its_usage_at_any_level) {
    KIRQL OldIrql = KfRaiseIrql(HIGH_LEVEL);
    MmPrintPoolUsage();
    KeLowerIrql(OldIrql);
}

KTEST(pool_free_tolerates_another_tag_unless_the_tag_is_protected) {
    PVOID P = ExAllocatePoolWithTag(NonPagedPoolNx, 64, TAG);
    ExFreePoolWithTag(P, 'rehO');
    PVOID Protected = ExAllocatePoolWithTag(NonPagedPoolNx, 64, TAG | PROTECTED_POOL);
    KT_REQUIRE(Protected != NULL);
    ExFreePoolWithTag(Protected, TAG | PROTECTED_POOL);
}

/* ---- Finding a block by an address in it ---- */

static VOID ExpectFound(PVOID P, SIZE_T Bytes, SIZE_T Offset, ULONG Tag, BOOLEAN IsPaged) {
    MM_POOL_BLOCK Block = {0};
    KT_REQUIRE(MmFindPoolBlock((ULONG64)P + Offset, &Block));
    KT_EXPECT_EQ(Block.Start, P);
    KT_EXPECT(Block.Bytes >= Bytes);
    KT_EXPECT_EQ(Block.Tag, Tag);
    KT_EXPECT_EQ(Block.IsPaged, IsPaged);
    KT_EXPECT(!Block.IsFree);
}

KTEST(pool_finds_the_block_of_an_address) {
    static const SIZE_T Sizes[] = {1, 64, 65, 500, 2000, 0xFE0, 0xFE1, 5 * PAGE_SIZE};
    for (ULONG Type = 0; Type < RTL_NUMBER_OF(Types); Type++) {
        for (ULONG Index = 0; Index < RTL_NUMBER_OF(Sizes); Index++) {
            PVOID P = ExAllocatePoolWithTag(Types[Type], Sizes[Index], 'dniF');
            KT_REQUIRE(P != NULL);
            ExpectFound(P, Sizes[Index], 0, 'dniF', Types[Type] == PagedPool);
            ExpectFound(P, Sizes[Index], Sizes[Index] - 1, 'dniF', Types[Type] == PagedPool);
            ExFreePoolWithTag(P, 'dniF');
        }
    }
}

KTEST(pool_finds_a_block_whose_page_is_not_in_memory) {
    MM_POOL_BLOCK Block = {0};
    PULONG P = ExAllocatePoolWithTag(PagedPool, 64, 'terS');
    KT_REQUIRE(P != NULL);
    *P = 4711;
    for (ULONG Try = 0; Try < 100 && MmIsAddressValid(P); Try++) {
        MmTrimRange(PAGE_ALIGN(P), PAGE_SIZE);
    }
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel(); /* a fault would stop the machine */
    BOOLEAN IsFound = MmFindPoolBlock((ULONG64)P + 8, &Block);
    BOOLEAN IsResident = MmIsAddressValid(P);
    KeLowerIrql(OldIrql);
    KT_EXPECT(!IsResident);
    KT_EXPECT(IsFound);
    KT_EXPECT_EQ(Block.Start, P);
    KT_EXPECT_EQ(Block.Bytes, 64);
    KT_EXPECT_EQ(Block.Tag, 'terS');
    KT_EXPECT(Block.IsPaged && !Block.IsFree && !Block.HeaderResident);
    KT_EXPECT_EQ(*P, 4711);
    ExFreePoolWithTag(P, 'terS');
    MmFindPoolBlock((ULONG64)P, &Block);
    KT_EXPECT(Block.IsFree);
}

/* ---- No memory ---- */

KTEST_ALONE(pool_without_memory_says_NULL_and_goes_on) {
    enum { CHUNK = 1 << 20 };
    static const POOL_TYPE Exhausted[] = {NonPagedPoolNx, PagedPool};
    KT_EXPECT_EQ(ExAllocatePoolWithTag(NonPagedPoolNx, (SIZE_T)1 << 50, TAG), 0);
    KT_EXPECT_EQ(ExAllocatePoolWithTag(PagedPool, ~(SIZE_T)0, TAG), 0);
    for (ULONG Type = 0; Type < RTL_NUMBER_OF(Exhausted); Type++) {
        PVOID *Chain = NULL, *P;
        ULONG Count = 0;
        while ((P = ExAllocatePoolWithTag(Exhausted[Type], CHUNK, TAG)) != NULL) {
            *P = Chain;
            Chain = P;
            Count++;
        }
        while (Chain != NULL) {
            P = Chain;
            Chain = *P;
            ExFreePoolWithTag(P, TAG);
        }
        P = ExAllocatePoolWithTag(Exhausted[Type], CHUNK, TAG);
        KT_EXPECT(Count > 0 && P != NULL);
        if (P != NULL) {
            ExFreePoolWithTag(P, TAG);
        }
    }
}

/* ---- Stops of the machine ---- */

KTEST_CRASH(pool_small_block_freed_twice) {
    PVOID P = ExAllocatePoolWithTag(NonPagedPoolNx, 64, TAG);
    ExFreePoolWithTag(P, TAG);
    ExFreePoolWithTag(P, TAG);
}

KTEST_CRASH(pool_large_block_freed_twice) {
    PVOID P = ExAllocatePoolWithTag(PagedPool, 2 * PAGE_SIZE, TAG);
    ExFreePoolWithTag(P, TAG);
    ExFreePoolWithTag(P, TAG);
}

KTEST_CRASH(pool_block_overrun) {
    PUCHAR P = ExAllocatePoolWithTag(NonPagedPoolNx, 1000, TAG);
    memset(P, 0x41, 1000 + 2 * POOL_UNIT);
    ExFreePoolWithTag(P, TAG);
}

KTEST_CRASH(pool_free_list_overwritten) {
    PUCHAR P = ExAllocatePoolWithTag(NonPagedPoolNx, 1000, TAG);
    PPOOL_HEADER Behind = HeaderOf(P) + HeaderOf(P)->BlockSize; /* the rest of the page, or a block of another owner */
    PVOID Large = NULL;
    if (Behind->PoolType != POOL_FREE || BYTE_OFFSET(Behind) == 0) {
        Large = ExAllocatePoolWithTag(NonPagedPoolNx, 0xF00, TAG);
        Behind = HeaderOf(Large) + HeaderOf(Large)->BlockSize;
        P = Large;
    }
    ((PLIST_ENTRY)(Behind + 1))->Flink = &((PLIST_ENTRY)P)[0];
    ((PLIST_ENTRY)P)->Blink = NULL;
    ((PLIST_ENTRY)P)->Flink = NULL;
    ExFreePoolWithTag(P, TAG);
}

KTEST_CRASH(pool_protected_tag_freed_with_another) {
    PVOID P = ExAllocatePoolWithTag(NonPagedPoolNx, 64, TAG | PROTECTED_POOL);
    ExFreePoolWithTag(P, TAG);
}

KTEST_CRASH(pool_paged_allocation_at_DISPATCH_LEVEL) {
    KeRaiseIrqlToDpcLevel();
    ExAllocatePoolWithTag(PagedPool, 64, TAG);
}

KTEST_CRASH(pool_nonpaged_allocation_above_DISPATCH_LEVEL) {
    KfRaiseIrql(SYNCH_LEVEL);
    ExAllocatePoolWithTag(NonPagedPoolNx, 64, TAG);
}

KTEST_CRASH(pool_paged_free_at_DISPATCH_LEVEL) {
    PVOID P = ExAllocatePoolWithTag(PagedPool, 64, TAG);
    KeRaiseIrqlToDpcLevel();
    ExFreePoolWithTag(P, TAG);
}

KTEST_CRASH(pool_allocation_without_tag) {
    ExAllocatePoolWithTag(NonPagedPoolNx, 64, 0);
}

KTEST_CRASH(pool_tag_BIG) {
    ExAllocatePoolWithTag(NonPagedPoolNx, 64, ' GIB');
}

KTEST_CRASH(pool_tag_without_letter_or_digit) {
    ExAllocatePoolWithTag(NonPagedPoolNx, 64, '+--+');
}

KTEST_CRASH(pool_must_succeed) {
    ExAllocatePoolWithTag(NonPagedPoolMustSucceed, 64, TAG);
}

KTEST_CRASH(pool_NULL_freed) {
    ExFreePool(NULL);
}

KTEST_CRASH(pool_user_address_freed) {
    ExFreePool((PVOID)0x10000);
}

KTEST_CRASH(pool_stack_address_freed) {
    ULONG64 Local[4] = {0};
    ExFreePool(Local);
}

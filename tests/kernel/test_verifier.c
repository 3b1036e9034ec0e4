/* test_verifier.c: special pool as the verifier uses it: the place of a block, its inaccessible neighbours, paging. */
#include "../../kernel/mm/mi.h"
#include "ktest.h"
#include <verifier.h>

#define TAG 'lpSV'
#define TYPE_CACHE_ALIGNED 4
#define TYPE_ZERO 1024
#define LARGEST 0xFE0

static PUCHAR Take(ULONG Type, SIZE_T Bytes) {
    return MmEnableSpecialPool() ? MmAllocateSpecialPool((POOL_TYPE)Type, Bytes, TAG) : NULL;
}

KTEST(special_block_ends_at_the_end_of_its_page) {
    for (ULONG Bytes = 1; Bytes <= LARGEST; Bytes += 61) {
        PUCHAR P = Take(NonPagedPoolNx, Bytes);
        KT_REQUIRE(P != NULL);
        ULONG64 End = (ULONG64)P + Bytes;
        KT_EXPECT((ULONG64)P % 16 == 0);
        KT_EXPECT(ROUND_TO_PAGES(End) - End < 16);
        KT_EXPECT(MmIsAddressValid(P + Bytes - 1));
        KT_EXPECT(!MmIsAddressValid((PVOID)ROUND_TO_PAGES(End)));
        ExFreePoolWithTag(P, TAG);
        KT_EXPECT(!MmIsAddressValid(P));
    }
}

KTEST(special_pool_obeys_alignment_and_zeroing) {
    PUCHAR P = Take(NonPagedPoolNx | TYPE_CACHE_ALIGNED | TYPE_ZERO, 100);
    KT_REQUIRE(P != NULL);
    KT_EXPECT((ULONG64)P % 64 == 0);
    for (ULONG i = 0; i < 100; i++) {
        KT_EXPECT(P[i] == 0);
    }
    ExFreePool(P);
}

KTEST(special_pool_leaves_to_the_normal_pool_what_does_not_fit) {
    KT_REQUIRE(MmEnableSpecialPool());
    KT_EXPECT(MmAllocateSpecialPool(NonPagedPoolNx, LARGEST + 1, TAG) == NULL);
    KT_EXPECT(MmAllocateSpecialPool(NonPagedPoolNx, 16, 0) == NULL);
    KT_EXPECT(MmAllocateSpecialPool(NonPagedPoolMustSucceed, 16, TAG) == NULL);
}

/* A freed address comes back only after as many others as there are slots. */
KTEST(special_address_is_reused_last) {
    PUCHAR First = Take(NonPagedPoolNx, 16);
    KT_REQUIRE(First != NULL);
    ExFreePool(First);
    for (ULONG Round = 0; Round < 200; Round++) {
        PUCHAR P = Take(NonPagedPoolNx, 16);
        KT_REQUIRE(P != NULL);
        KT_EXPECT(P != First);
        ExFreePool(P);
    }
    const MM_SPECIAL_BLOCK *Block = MmFindSpecialBlock((ULONG64)First);
    KT_EXPECT(Block != NULL && Block->State == SpecialFreed);
}

KTEST(special_paged_block_is_trimmed_and_comes_back) {
    PUCHAR P = Take(PagedPool, 64);
    KT_REQUIRE(P != NULL);
    memset(P, 0x42, 64);
    KT_EXPECT(MmTrimRange(P, 64) <= 1); /* a trimmer may have been faster */
    KT_EXPECT(MmGetPageState((ULONG64)P, NULL) != PageBadAddress);
    KT_EXPECT(P[0] == 0x42 && P[63] == 0x42);
    ExFreePool(P);
    KT_EXPECT(MmGetPageState((ULONG64)P, NULL) == PageBadAddress);
}

KTEST(special_block_is_described) {
    CHAR Text[200];
    PUCHAR P = Take(NonPagedPoolNx, 48);
    KT_REQUIRE(P != NULL);
    MmDescribeAddress((ULONG64)P + 8, Text, sizeof(Text));
    KT_EXPECT(strstr(Text, "special pool") != NULL && strstr(Text, "48-byte block") != NULL);
    ExFreePool(P);
    MmDescribeAddress((ULONG64)P + 8, Text, sizeof(Text));
    KT_EXPECT(strstr(Text, "freed 48-byte block") != NULL);
}

static VOID Churn(ULONG Processor, PVOID Context) {
    KT_RANDOM Random;
    PUCHAR Kept[8] = {0};
    KtSeedRandom(&Random, Processor);
    for (ULONG Round = 0; Round < KtRendezvous(1500); Round++) { /* a page that is freed interrupts every CPU */
        PUCHAR *Place = &Kept[KtRandom(&Random, RTL_NUMBER_OF(Kept))];
        if (*Place != NULL) {
            KT_EXPECT(**Place == (UCHAR)Processor);
            ExFreePool(*Place);
        }
        *Place = Take(KtRandom(&Random, 2) ? PagedPool : NonPagedPoolNx, 1 + KtRandom(&Random, 2000));
        if (*Place != NULL) {
            **Place = (UCHAR)Processor;
        }
    }
    for (ULONG i = 0; i < RTL_NUMBER_OF(Kept); i++) {
        if (Kept[i] != NULL) {
            ExFreePool(Kept[i]);
        }
    }
    UNREFERENCED_PARAMETER(Context);
}

KTEST(special_pool_under_contention) {
    KT_REQUIRE(MmEnableSpecialPool());
    KtRunOnAllCpus(Churn, NULL);
}

KTEST_CRASH(special_allocation_at_DISPATCH_LEVEL) {
    KfRaiseIrql(DISPATCH_LEVEL);
    MmAllocateSpecialPool(PagedPool, 64, TAG);
}

KTEST_CRASH(special_allocation_above_DISPATCH_LEVEL) {
    KfRaiseIrql(SYNCH_LEVEL);
    MmAllocateSpecialPool(NonPagedPoolNx, 64, TAG);
}

KTEST_CRASH(special_free_at_DISPATCH_LEVEL) {
    PUCHAR P = Take(PagedPool, 64);
    KT_REQUIRE(P != NULL);
    KfRaiseIrql(DISPATCH_LEVEL);
    MmFreeSpecialPool(P, TAG);
}

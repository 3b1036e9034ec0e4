/* test_describe.c: any address is described in words, at any IRQL, without a fault. */
#include "ktest.h"

#define TAG 'tseT' /* "Test" */
#define TEXT_BYTES 256

static BOOLEAN Contains(PCSTR Text, PCSTR Part) {
    SIZE_T Length = strlen(Part);
    for (; *Text; Text++) {
        if (strncmp(Text, Part, Length) == 0) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Does the description of the address, asked for at HIGH_LEVEL, contain the words? */
static BOOLEAN IsDescribedAs(ULONG64 Address, PCSTR Words) {
    CHAR Text[TEXT_BYTES];
    KIRQL OldIrql;
    KeRaiseIrql(HIGH_LEVEL, &OldIrql);
    MmDescribeAddress(Address, Text, sizeof(Text));
    KeLowerIrql(OldIrql);
    if (!Contains(Text, Words)) {
        KdChannelf("# %016llX: %s\n", Address, Text);
    }
    return Contains(Text, Words);
}

KTEST(MmDescribeAddress_follows_a_page_through_its_life) {
    PUCHAR Block = ExAllocatePoolWithTag(PagedPool, 2 * PAGE_SIZE, TAG);
    KT_REQUIRE(Block != NULL);
    KT_EXPECT(IsDescribedAs((ULONG64)Block, "demand-zero"));
    KT_EXPECT_EQ(MmGetPageState((ULONG64)Block, NULL), PageDemandZero);
    memset(Block, 1, PAGE_SIZE);
    KT_EXPECT(IsDescribedAs((ULONG64)Block + 0x10, "paged pool, tag 'Test', 8192-byte block of driver ktest + 0x10"));
    KT_EXPECT_EQ(MmGetPageState((ULONG64)Block, NULL), PageValid);
    MmTrimRange(Block, PAGE_SIZE);
    KT_EXPECT(MmGetPageState((ULONG64)Block, NULL) != PageValid);
    ExFreePoolWithTag(Block, TAG);
    KT_EXPECT(IsDescribedAs((ULONG64)Block, "paged pool, in no block; nothing is mapped there"));
}

KTEST(MmDescribeAddress_knows_pools_images_and_stacks) {
    PVOID Block = ExAllocatePoolWithTag(NonPagedPoolNx, 64, TAG);
    KT_REQUIRE(Block != NULL);
    ULONG64 StackLimit = KiCurrentThread()->StackLimit;
    KT_EXPECT(IsDescribedAs((ULONG64)Block, "nonpaged pool, tag 'Test', "));
    KT_EXPECT(IsDescribedAs((ULONG64)KeBugCheckEx, "kernel nt"));
    KT_EXPECT(IsDescribedAs((ULONG64)KeBugCheckEx + 1, "(KeBugCheckEx+0x1)"));
    KT_EXPECT(IsDescribedAs((ULONG64)IsDescribedAs, "driver ktest, section "));
    KT_EXPECT(IsDescribedAs((ULONG64)&Block, "stack of thread 'test'"));
    KT_EXPECT(IsDescribedAs(StackLimit - 8, "the guard page below the stack of thread 'test'"));
    ExFreePoolWithTag(Block, TAG);
}

KTEST(MmDescribeAddress_survives_addresses_that_are_none) {
    ULONG Count;
    const MM_REGION *Regions = MmGetRegions(&Count);
    KT_EXPECT(IsDescribedAs(0, "a NULL pointer"));
    KT_EXPECT(IsDescribedAs(0x18, "a NULL pointer + 0x18"));
    KT_EXPECT(IsDescribedAs(0x0123456789ABCDEF, "not canonical"));
    KT_EXPECT(IsDescribedAs(0x00007FFFFFFFF000, "user half"));
    KT_EXPECT(IsDescribedAs(0xFFFFA00000000000, "nothing is mapped there, not even a page table"));
    for (ULONG i = 0; i < Count; i++) {
        KT_EXPECT(IsDescribedAs(Regions[i].Start, ""));
        KT_EXPECT(IsDescribedAs(Regions[i].End - 1, ""));
    }
}

KTEST(MmDescribePte_names_each_state) {
    static const struct {
        MMPTE Pte;
        PCSTR Words;
    } Rows[] = {
        {0, "nothing is here"},
        {0x0000001100000080, "page file, slot 17"},
        {0x000000000248A880, "transition, page frame 0x248a"},
        {0x80, "demand-zero"},
        {0x8000000001234063, "V, W NX A D, page frame 0x1234"},
        {0x0000000001234021, "V, R X A, page frame 0x1234"},
    };
    for (ULONG i = 0; i < RTL_NUMBER_OF(Rows); i++) {
        CHAR Text[TEXT_BYTES];
        MmDescribePte(Rows[i].Pte, Text, sizeof(Text));
        KT_EXPECT(Contains(Text, Rows[i].Words));
    }
}

/* test_memory.c: rights of pages, guard pages, contiguous frames, address space; and touches that are fatal. */
#include "pagehelp.h"

/* mov eax, 42; ret */
static const UCHAR Code[] = {0xB8, 42, 0, 0, 0, 0xC3};
typedef int FUNCTION(void);

/* A pageable page of code in the driver region. */
static PVOID MakeCode(VOID) {
    PVOID Image = MmReserveDriverImage(PAGE_SIZE);
    KT_EXPECT(Image != NULL && NT_SUCCESS(MmPopulateImage(Image, PAGE_SIZE, TRUE)));
    memcpy(Image, Code, sizeof(Code));
    return Image;
}

KTEST(memory_protection_of_a_pageable_page_holds_in_every_state) {
    PVOID Image = MakeCode();
    FUNCTION *Function = (FUNCTION *)Image;
    MMPTE Pte;
    MmProtectImage(Image, PAGE_SIZE, MM_EXECUTE_READ);
    for (ULONG Round = 0; Round < 3; Round++) {
        KT_EXPECT_EQ(Function(), 42);
        Pte = *MiGetPteAddress((ULONG64)Image);
        KT_EXPECT((Pte & PTE_VALID) && !(Pte & PTE_WRITE) && !(Pte & PTE_NX));
        if (Round == 0) {
            MmTrimRange(Image, PAGE_SIZE);
            KT_EXPECT_EQ(PageState(Image), PageTransition);
        } else {
            PageOut(Image, 1);
            KT_EXPECT_EQ(PageState(Image), PageInFile);
        }
        Pte = *MiGetPteAddress((ULONG64)Image);
        KT_EXPECT_EQ((Pte & MI_PROTECTION_MASK) >> PTE_PROTECTION_SHIFT, MM_EXECUTE_READ);
    }
    MmProtectImage(Image, PAGE_SIZE, MM_READONLY); /* while it is in the page file */
    KT_EXPECT_EQ(*(volatile UCHAR *)Image, Code[0]);
    Pte = *MiGetPteAddress((ULONG64)Image);
    KT_EXPECT((Pte & PTE_VALID) && !(Pte & PTE_WRITE) && Pte & PTE_NX);
    MmTrimRange(Image, PAGE_SIZE);
    MmProtectImage(Image, PAGE_SIZE, MM_READWRITE); /* while it is in transition */
    *(volatile UCHAR *)Image = 1;
    MmReleaseDriverImage(Image, PAGE_SIZE);
    KT_EXPECT_EQ(PageState(Image), PageBadAddress);
}

KTEST(memory_no_page_is_writable_and_executable) {
    ULONG Count;
    const MM_REGION *Region = MmGetRegions(&Count);
    ULONG64 Bad = 0;
    for (; Count != 0; Count--, Region++) {
        if (Region->Kind == RegionNonPagedPool || Region->Kind == RegionPageTables) {
            continue; /* executable pool is a driver's wish; the self map is no-execute as a whole, see its PXE */
        }
        for (ULONG64 Va = Region->Start; Va < Region->End && Va >= Region->Start;) {
            ULONG Level;
            MMPTE Pte = MiReadPte(Va, &Level), Top = *MiGetPxeAddress(Va);
            Bad += Pte & PTE_VALID && Pte & PTE_WRITE && !((Pte | Top) & PTE_NX);
            ULONG64 Span = 1ULL << (PAGE_SHIFT + 9 * (Level - 1));
            Va = (Va & ~(Span - 1)) + Span;
        }
    }
    KT_EXPECT_EQ(Bad, 0);
    KT_EXPECT(*MiGetPxeAddress(MM_PTE_BASE) & PTE_NX);
}

KTEST(memory_lower_half_is_empty) {
    KT_EXPECT_EQ(*MiGetPxeAddress(0), 0); /* the boot code's identity map is gone */
    KT_EXPECT(!MmIsAddressValid(NULL) && !MmIsAddressValid((PVOID)0x100000));
    KT_EXPECT(!MmIsAddressValid((PVOID)0x8000000000000000ULL)); /* not an address at all */
}

KTEST(memory_stack_has_a_guard_page_below) {
    ULONG64 A = MmCreateKernelStack(KERNEL_STACK_SIZE), B = MmCreateKernelStack(0x4000);
    KT_REQUIRE(A != 0 && B != 0);
    KT_EXPECT(MmIsAddressValid((PVOID)(A - 1)) && MmIsAddressValid((PVOID)(A - KERNEL_STACK_SIZE)));
    KT_EXPECT(!MmIsAddressValid((PVOID)(A - KERNEL_STACK_SIZE - 1)));
    KT_EXPECT(MmIsAddressValid((PVOID)(B - 1)) && !MmIsAddressValid((PVOID)(B - 0x4000 - 1)));
    KT_EXPECT_EQ(MmFindRegion(A - 1)->Kind, RegionStacks);
    MmDeleteKernelStack(A, KERNEL_STACK_SIZE);
    MmDeleteKernelStack(B, 0x4000);
    KT_EXPECT(!MmIsAddressValid((PVOID)(B - 1)));
}

KTEST(memory_contiguous_frames_lie_side_by_side) {
    PHYSICAL_ADDRESS Below = {.QuadPart = 0xFFFFFFFF};
    PUCHAR P = MmAllocateContiguousMemory(16 * PAGE_SIZE, Below);
    KT_REQUIRE(P != NULL);
    ULONG64 Physical = (ULONG64)MmGetPhysicalAddress(P).QuadPart;
    for (ULONG Page = 0; Page < 16; Page++) {
        P[Page * PAGE_SIZE] = (UCHAR)Page;
        KT_EXPECT_EQ(MmGetPhysicalAddress(P + Page * PAGE_SIZE + 5).QuadPart, Physical + Page * PAGE_SIZE + 5);
    }
    KT_EXPECT(Physical + 16 * PAGE_SIZE <= 0x100000000ULL && BYTE_OFFSET(P) == 0);
    MmFreeContiguousMemory(P);
    Below.QuadPart = 0xFFFF; /* the first frames belong to the firmware */
    KT_EXPECT(MmAllocateContiguousMemory(PAGE_SIZE, Below) == NULL);
    PageCheckLists();
}

KTEST(memory_mapped_device_registers_can_be_unmapped) {
    PHYSICAL_ADDRESS Apic = {.QuadPart = 0xFEE00000};
    volatile ULONG *Registers = MmMapIoSpace(Apic, PAGE_SIZE, MmNonCached);
    KT_REQUIRE(Registers != NULL);
    KT_EXPECT_EQ(MmGetPhysicalAddress((PVOID)Registers).QuadPart, 0xFEE00000);
    KT_EXPECT(*MiGetPteAddress((ULONG64)Registers) & PTE_CACHE_DISABLE);
    MmUnmapIoSpace((PVOID)Registers, PAGE_SIZE);
    KT_EXPECT(!MmIsAddressValid((PVOID)Registers));
}

KTEST(memory_ranges_give_out_no_page_twice) {
    enum { BLOCKS = 24 };
    PUCHAR Block[BLOCKS] = {NULL};
    ULONG Pages[BLOCKS];
    KT_RANDOM Random;
    KtSeedRandom(&Random, 3);
    for (ULONG Round = 0; Round < KtStress(2000); Round++) {
        ULONG Index = KtRandom(&Random, BLOCKS);
        if (Block[Index] != NULL) {
            for (ULONG Page = 0; Page < Pages[Index]; Page++) {
                KT_EXPECT_EQ(Block[Index][Page * PAGE_SIZE + 1], Index + 1);
            }
            MiFreePoolPages(Block[Index], Pages[Index]);
            Block[Index] = NULL;
            continue;
        }
        Pages[Index] = 1 + KtRandom(&Random, 9);
        Block[Index] = MiAllocatePoolPages(Index % 2 == 0, Pages[Index], FALSE);
        KT_REQUIRE(Block[Index] != NULL);
        for (ULONG Page = 0; Page < Pages[Index]; Page++) {
            Block[Index][Page * PAGE_SIZE + 1] = (UCHAR)(Index + 1);
        }
    }
    for (ULONG Index = 0; Index < BLOCKS; Index++) {
        if (Block[Index] != NULL) {
            MiFreePoolPages(Block[Index], Pages[Index]);
        }
    }
    PageCheckLists();
}

/* ---- Stops of the machine ---- */

KTEST_CRASH(memory_write_to_read_only_page) {
    PVOID Image = MakeCode();
    MmProtectImage(Image, PAGE_SIZE, MM_READONLY);
    *(volatile UCHAR *)Image = 1;
}

KTEST_CRASH(memory_write_to_kernel_text_through_the_direct_map) {
    ULONG64 Physical = (ULONG64)MmGetPhysicalAddress((PVOID)MmAccessFault).QuadPart;
    *(volatile UCHAR *)MmPhysicalToVirtual(Physical) = 0x90;
}

KTEST_CRASH(memory_execution_of_a_data_page) {
    PVOID Image = MakeCode();
    ((FUNCTION *)Image)();
}

KTEST_CRASH(memory_freed_pool_page) {
    volatile ULONG64 *P = MiAllocatePoolPages(TRUE, 1, FALSE);
    *P = 1;
    MiFreePoolPages((PVOID)P, 1);
    *P = 2;
}

KTEST_CRASH(memory_address_without_page_table) {
    KT_EXPECT_EQ(*(volatile ULONG64 *)(MM_PAGED_POOL + 0x4000000000ULL), 0);
}

KTEST_CRASH(memory_transition_page_at_DISPATCH_LEVEL) {
    volatile ULONG64 *P = MiAllocatePoolPages(TRUE, 1, FALSE);
    KIRQL OldIrql;
    *P = 1;
    MmTrimRange((PVOID)P, 1);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    *P = 2;
}

KTEST_CRASH(memory_contiguous_freed_twice) {
    PHYSICAL_ADDRESS Anywhere = {.QuadPart = -1};
    PVOID P = MmAllocateContiguousMemory(PAGE_SIZE, Anywhere);
    MmFreeContiguousMemory(P);
    MmFreeContiguousMemory(P);
}

/* test_mdl.c: memory descriptor lists: their frames, kept in memory, and mapped where. */
#include "iotest.h"

#define PAGES 5
#define TAG 0x6C644D54

KTEST(mdl_describes_a_buffer_across_pages) {
    PUCHAR Buffer = ExAllocatePoolWithTag(NonPagedPoolNx, 3 * PAGE_SIZE, TAG);
    PMDL Mdl = IoAllocateMdl(Buffer + 100, PAGE_SIZE, FALSE, FALSE, NULL);
    KT_REQUIRE(Buffer != NULL && Mdl != NULL);
    KT_EXPECT_EQ(MmGetMdlVirtualAddress(Mdl), Buffer + 100);
    KT_EXPECT_EQ(MmGetMdlByteCount(Mdl), PAGE_SIZE);
    KT_EXPECT_EQ(MmGetMdlByteOffset(Mdl), BYTE_OFFSET(Buffer + 100));
    KT_EXPECT_EQ(MmSizeOfMdl(Buffer + 100, PAGE_SIZE), sizeof(MDL) + 2 * sizeof(PFN_NUMBER));
    MmBuildMdlForNonPagedPool(Mdl);
    for (ULONG Page = 0; Page < 2; Page++) {
        KT_EXPECT_EQ(MmGetMdlPfnArray(Mdl)[Page],
                     MmGetPhysicalAddress((PUCHAR)PAGE_ALIGN(Buffer + 100) + Page * PAGE_SIZE).QuadPart >> PAGE_SHIFT);
    }
    KT_EXPECT_EQ(MmGetSystemAddressForMdlSafe(Mdl, NormalPagePriority), Buffer + 100);
    IoFreeMdl(Mdl);
    ExFreePoolWithTag(Buffer, TAG);
}

/* The trimmer takes all it can: locked pages stay, and their contents can be touched at DISPATCH_LEVEL. */
KTEST(mdl_keeps_paged_pool_in_memory_while_it_is_locked) {
    PUCHAR Buffer = ExAllocatePoolWithTag(PagedPool, PAGES * PAGE_SIZE, TAG);
    PMDL Mdl = IoAllocateMdl(Buffer, PAGES * PAGE_SIZE, FALSE, FALSE, NULL);
    KT_REQUIRE(Buffer != NULL && Mdl != NULL);
    memset(Buffer, 0x11, PAGES * PAGE_SIZE);
    MmTrimRange(Buffer, PAGES * PAGE_SIZE);
    KT_EXPECT(!MmIsAddressValid(Buffer));
    MmProbeAndLockPages(Mdl, KernelMode, IoWriteAccess);
    KT_EXPECT_EQ(MmTrimRange(Buffer, PAGES * PAGE_SIZE), 0);
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    for (ULONG Page = 0; Page < PAGES; Page++) {
        Buffer[Page * PAGE_SIZE] += (UCHAR)Page;
    }
    KeLowerIrql(OldIrql);
    MmUnlockPages(Mdl);
    KT_EXPECT_EQ(MmTrimRange(Buffer, PAGES * PAGE_SIZE), PAGES);
    for (ULONG Page = 0; Page < PAGES; Page++) {
        KT_EXPECT_EQ(Buffer[Page * PAGE_SIZE], 0x11 + Page);
    }
    IoFreeMdl(Mdl);
    ExFreePoolWithTag(Buffer, TAG);
}

KTEST(mdl_mapping_is_the_same_memory_at_another_address) {
    PUCHAR Buffer = ExAllocatePoolWithTag(PagedPool, PAGES * PAGE_SIZE, TAG);
    PMDL Mdl = IoAllocateMdl(Buffer + 10, PAGES * PAGE_SIZE - 10, FALSE, FALSE, NULL);
    KT_REQUIRE(Buffer != NULL && Mdl != NULL);
    memset(Buffer, 1, PAGES * PAGE_SIZE);
    MmTrimRange(Buffer, PAGES * PAGE_SIZE);
    MmFlushModifiedPages();
    MmPurgeStandby(); /* clean pages with a place in the page file come back */
    MmProbeAndLockPages(Mdl, KernelMode, IoWriteAccess);
    PUCHAR Mapped = MmGetSystemAddressForMdlSafe(Mdl, NormalPagePriority);
    KT_REQUIRE(Mapped != NULL);
    KT_EXPECT(Mapped != Buffer + 10);
    KT_EXPECT_EQ(MmGetSystemAddressForMdlSafe(Mdl, NormalPagePriority), Mapped); /* mapped once */
    for (ULONG Page = 0; Page < PAGES; Page++) {
        Mapped[Page * PAGE_SIZE] = (UCHAR)(0x40 + Page);
    }
    MmUnlockPages(Mdl);
    KT_EXPECT(!MmIsAddressValid(Mapped));
    KT_EXPECT(!(Mdl->MdlFlags & (MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA)));
    /* Writes through the mapping left no dirty bit in the pool's own PTEs, and must be written out anyway. */
    MmTrimRange(Buffer, PAGES * PAGE_SIZE);
    MmFlushModifiedPages();
    MmPurgeStandby();
    for (ULONG Page = 0; Page < PAGES; Page++) {
        KT_EXPECT_EQ(Buffer[10 + Page * PAGE_SIZE], 0x40 + Page);
    }
    IoFreeMdl(Mdl);
    ExFreePoolWithTag(Buffer, TAG);
}

/* A page that was trimmed after a change and touched again is dirty by its PFN alone; a device that reads it changes
 * nothing about that. */
KTEST(mdl_locked_for_a_read_leaves_a_changed_page_changed) {
    volatile UCHAR *Buffer = ExAllocatePoolWithTag(PagedPool, PAGE_SIZE, TAG);
    PMDL Mdl = IoAllocateMdl((PVOID)Buffer, PAGE_SIZE, FALSE, FALSE, NULL);
    KT_REQUIRE(Buffer != NULL && Mdl != NULL);
    Buffer[0] = 1;
    MmTrimRange((PVOID)Buffer, PAGE_SIZE);
    MmFlushModifiedPages();
    MmPurgeStandby();
    KT_EXPECT_EQ(Buffer[0], 1); /* back, with its place in the page file */
    Buffer[0] = 2;
    MmTrimRange((PVOID)Buffer, PAGE_SIZE);
    KT_EXPECT_EQ(Buffer[0], 2);
    MmProbeAndLockPages(Mdl, KernelMode, IoReadAccess);
    MmUnlockPages(Mdl);
    MmTrimRange((PVOID)Buffer, PAGE_SIZE);
    MmFlushModifiedPages();
    MmPurgeStandby();
    KT_EXPECT_EQ(Buffer[0], 2);
    IoFreeMdl(Mdl);
    ExFreePoolWithTag((PVOID)Buffer, TAG);
}

KTEST_CRASH(mdl_locked_page_is_freed) {
    PUCHAR Buffer = ExAllocatePoolWithTag(PagedPool, PAGE_SIZE, TAG);
    PMDL Mdl = IoAllocateMdl(Buffer, PAGE_SIZE, FALSE, FALSE, NULL);
    MmProbeAndLockPages(Mdl, KernelMode, IoWriteAccess);
    ExFreePoolWithTag(Buffer, TAG);
}

KTEST(mdl_part_of_another_describes_the_same_frames) {
    PUCHAR Buffer = ExAllocatePoolWithTag(PagedPool, PAGES * PAGE_SIZE, TAG);
    PMDL Whole = IoAllocateMdl(Buffer, PAGES * PAGE_SIZE, FALSE, FALSE, NULL);
    PUCHAR Start = Buffer + 2 * PAGE_SIZE + 16;
    PMDL Part = IoAllocateMdl(Start, PAGE_SIZE, FALSE, FALSE, NULL);
    KT_REQUIRE(Buffer != NULL && Whole != NULL && Part != NULL);
    memset(Buffer, 7, PAGES * PAGE_SIZE);
    MmProbeAndLockPages(Whole, KernelMode, IoReadAccess);
    IoBuildPartialMdl(Whole, Part, Start, PAGE_SIZE);
    KT_EXPECT_EQ(MmGetMdlPfnArray(Part)[1], MmGetMdlPfnArray(Whole)[3]);
    KT_EXPECT_EQ(MmGetMdlVirtualAddress(Part), Start);
    PUCHAR Mapped = MmGetSystemAddressForMdlSafe(Part, NormalPagePriority);
    KT_REQUIRE(Mapped != NULL);
    KT_EXPECT(Mapped[0] == 7 && Mapped[PAGE_SIZE - 1] == 7);
    IoFreeMdl(Part); /* its mapping goes with it */
    KT_EXPECT(!MmIsAddressValid(Mapped));
    MmUnlockPages(Whole);
    IoFreeMdl(Whole);
    ExFreePoolWithTag(Buffer, TAG);
}

static VOID LockOften(ULONG Processor, PVOID Context) {
    PUCHAR Buffer = (PUCHAR)Context + 64 * Processor; /* the CPUs share the pages */
    ULONG Rounds = KtStress(100);
    for (ULONG Round = 0; Round < Rounds; Round++) {
        PMDL Mdl = IoAllocateMdl(Buffer, PAGES * PAGE_SIZE / 2, FALSE, FALSE, NULL);
        if (Mdl == NULL) {
            KT_EXPECT(Mdl != NULL);
            return;
        }
        MmProbeAndLockPages(Mdl, KernelMode, IoWriteAccess);
        PUCHAR Mapped = MmGetSystemAddressForMdlSafe(Mdl, NormalPagePriority);
        Mapped[8] = (UCHAR)Round;
        KT_EXPECT_EQ(Buffer[8], (UCHAR)Round);
        MmTrimRange(Buffer, PAGES * PAGE_SIZE / 2);
        KT_EXPECT_EQ(Buffer[8], (UCHAR)Round);
        MmUnlockPages(Mdl);
        IoFreeMdl(Mdl);
    }
}

KTEST(mdl_locks_of_all_cpus_on_the_same_pages_add_up) {
    PUCHAR Buffer = ExAllocatePoolWithTag(PagedPool, PAGES * PAGE_SIZE, TAG);
    KT_REQUIRE(Buffer != NULL);
    KtRunOnAllCpus(LockOften, Buffer);
    MmTrimRange(Buffer, PAGES * PAGE_SIZE);
    KT_EXPECT(!MmIsAddressValid(Buffer));
    ExFreePoolWithTag(Buffer, TAG);
}

KTEST(mdl_is_long_enough_for_4_GB_less_a_page) {
    PUCHAR Address = (PUCHAR)0xFFFFA00000000123;
    const ULONG Longest = 0xFFFFFFFF - PAGE_SIZE + 1;
    PMDL Mdl = IoAllocateMdl(Address, Longest, FALSE, FALSE, NULL);
    KT_EXPECT(Mdl != NULL);
    if (Mdl != NULL) {
        KT_EXPECT_EQ(Mdl->ByteCount, Longest);
        KT_EXPECT_EQ(MmGetMdlVirtualAddress(Mdl), Address);
        IoFreeMdl(Mdl);
    }
    KT_EXPECT_EQ(IoAllocateMdl(Address, Longest + 1, FALSE, FALSE, NULL), NULL);
}

/* Small ones come from a list of equal ones on NT, which have room for 23 pages. */
KTEST(mdl_fields_after_IoAllocateMdl_are_those_of_NT) {
    PUCHAR Address = (PUCHAR)0xFFFFA00000000010;
    PIRP Irp = IoAllocateIrp(1, FALSE);
    PMDL Small = IoAllocateMdl(Address, 22 * PAGE_SIZE, FALSE, FALSE, Irp);
    PMDL Large = IoAllocateMdl(Address, 23 * PAGE_SIZE, TRUE, FALSE, Irp);
    KT_REQUIRE(Irp != NULL && Small != NULL && Large != NULL);
    KT_EXPECT_EQ(Small->MdlFlags, MDL_ALLOCATED_FIXED_SIZE);
    KT_EXPECT_EQ(Small->Size, sizeof(MDL) + 23 * sizeof(PFN_NUMBER));
    KT_EXPECT_EQ(Large->MdlFlags, 0);
    KT_EXPECT_EQ(Large->Size, sizeof(MDL) + 24 * sizeof(PFN_NUMBER));
    KT_EXPECT_EQ(Small->StartVa, PAGE_ALIGN(Address));
    KT_EXPECT_EQ(Small->ByteOffset, 0x10);
    KT_EXPECT_EQ(Small->ByteCount, 22 * PAGE_SIZE);
    KT_EXPECT_EQ(Irp->MdlAddress, Small);
    KT_EXPECT_EQ(Small->Next, Large);
    KT_EXPECT_EQ(Large->Next, NULL);
    IoFreeMdl(Small);
    IoFreeMdl(Large);
    IoFreeIrp(Irp);
}

KTEST_CRASH(mdl_too_small_for_the_part_of_another) {
    PUCHAR Buffer = ExAllocatePoolWithTag(NonPagedPoolNx, 40 * PAGE_SIZE, TAG);
    PMDL Whole = IoAllocateMdl(Buffer, 40 * PAGE_SIZE, FALSE, FALSE, NULL);
    PMDL Part = IoAllocateMdl(Buffer, PAGE_SIZE, FALSE, FALSE, NULL);
    KT_REQUIRE(Buffer != NULL && Whole != NULL && Part != NULL);
    MmBuildMdlForNonPagedPool(Whole);
    IoBuildPartialMdl(Whole, Part, Buffer, 23 * PAGE_SIZE); /* just fits */
    IoBuildPartialMdl(Whole, Part, Buffer, 24 * PAGE_SIZE);
}

KTEST_CRASH(mdl_unlocked_twice) {
    PUCHAR Buffer = ExAllocatePoolWithTag(PagedPool, PAGE_SIZE, TAG);
    PMDL Mdl = IoAllocateMdl(Buffer, PAGE_SIZE, FALSE, FALSE, NULL);
    MmProbeAndLockPages(Mdl, KernelMode, IoReadAccess);
    MmUnlockPages(Mdl);
    MmUnlockPages(Mdl);
}

KTEST_CRASH(mdl_touched_at_DISPATCH_after_unlock) {
    PUCHAR Buffer = ExAllocatePoolWithTag(PagedPool, PAGE_SIZE, TAG);
    PMDL Mdl = IoAllocateMdl(Buffer, PAGE_SIZE, FALSE, FALSE, NULL);
    MmProbeAndLockPages(Mdl, KernelMode, IoReadAccess);
    MmUnlockPages(Mdl);
    MmTrimRange(Buffer, PAGE_SIZE);
    KeRaiseIrqlToDpcLevel();
    Buffer[0] = 1;
}

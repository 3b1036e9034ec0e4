/* crash_pool.c: pool and memory used wrongly: when the allocator notices, and its code. The line "# expect ..." as in
 * crash_bugcheck.c. */
#include "../../kernel/mm/mi.h"
#include "../../kernel/mm/pool.h"
#include "crash.h"
#include <ldr.h>

#define USER_SPACE_END 0xFFFF800000000000ULL

/* A freed block, of a size not used elsewhere: parked, or free in its page. */
static PVOID Freed(POOL_TYPE Type, SIZE_T Bytes) {
    PVOID P = ExAllocatePoolWithTag(Type, Bytes, TAG);
    ExFreePoolWithTag(P, TAG);
    return P;
}

/* ---- Damage that the next allocation finds ---- */

KTEST_CRASH(13A_freed_block_written_to) {
    KtPin(0);
    PUCHAR P = Freed(NonPagedPoolNx, 0x150);
    Expect(KERNEL_MODE_HEAP_CORRUPTION, 0x12, (ULONG64)&MiPoolHeap[POOL_HEAP_NX], (ULONG64)PAGE_ALIGN(P), 0);
    memset(P, 'A', 0x150);
    ExAllocatePool2(POOL_FLAG_NON_PAGED, 0x150, TAG);
}

KTEST_CRASH(13A_freed_paged_block_written_to) {
    KtPin(0);
    PUCHAR P = Freed(PagedPool, 0x150);
    Expect(KERNEL_MODE_HEAP_CORRUPTION, 0x12, (ULONG64)&MiPoolHeap[POOL_HEAP_PAGED], (ULONG64)PAGE_ALIGN(P), 0);
    P[8] = 0;
    ExAllocatePool2(POOL_FLAG_PAGED, 0x150, TAG);
}

KTEST_CRASH(19_freed_block_written_to) {
    KtPin(0);
    PUCHAR P = Freed(NonPagedPoolNx, 0x150);
    Expect(BAD_POOL_HEADER, 3, (ULONG64)P - POOL_UNIT, 0x4141414141414141, 0x4141414141414141);
    memset(P, 'A', 0x150);
    ExAllocatePoolWithTag(NonPagedPoolNx, 0x150, TAG);
}

KTEST_CRASH(19_header_of_a_freed_block_overwritten) {
    KtPin(0);
    PUCHAR P = Freed(NonPagedPoolNx, 0x150);
    Expect(BAD_POOL_HEADER, 0x0D, (ULONG64)P - POOL_UNIT, 0, 0x41414141);
    memset(P - POOL_UNIT, 'A', 4);
    ExAllocatePoolWithTag(NonPagedPoolNx, 0x150, TAG);
}

#define WANTED 0x400 /* allocated until the damaged block's turn comes */

/* A block too large to be parked: the header of the free rest of its page, large enough for WANTED, is overrun. */
static PUCHAR OverrunIntoFreeBlock(VOID) {
    for (;;) {
        PUCHAR P = ExAllocatePoolWithTag(NonPagedPoolNx, 0x800, TAG);
        PPOOL_HEADER Header = (PPOOL_HEADER)P - 1, Behind = Header + Header->BlockSize;
        if (BYTE_OFFSET(Behind) != 0 && Behind->PoolType == POOL_FREE && Behind->BlockSize > WANTED / POOL_UNIT) {
            memset(P, 'A', 0x800 + 2 * POOL_UNIT);
            return P;
        }
    }
}

KTEST_CRASH(13A_free_neighbour_overrun) {
    Expect(KERNEL_MODE_HEAP_CORRUPTION, 0x12, (ULONG64)&MiPoolHeap[POOL_HEAP_NX],
           (ULONG64)PAGE_ALIGN(OverrunIntoFreeBlock()), 0);
    while (ExAllocatePool2(POOL_FLAG_NON_PAGED, WANTED, TAG) != NULL) {
    }
}

KTEST_CRASH(19_free_neighbour_overrun) {
    PPOOL_HEADER Header = (PPOOL_HEADER)OverrunIntoFreeBlock() - 1;
    Expect(BAD_POOL_HEADER, 0x20, (ULONG64)(Header + Header->BlockSize), ANY, 0x41414141);
    while (ExAllocatePoolWithTag(NonPagedPoolNx, WANTED, TAG) != NULL) {
    }
}

/* ---- Damage that the free finds ---- */

KTEST_CRASH(19_large_block_overrun) {
    PUCHAR P = ExAllocatePoolWithTag(NonPagedPoolNx, 5000, TAG);
    Expect(BAD_POOL_HEADER, 0x21, (ULONG64)P, 5000, 0x4141414141414141);
    memset(P, 'A', 5100);
    ExFreePoolWithTag(P, TAG);
}

KTEST_CRASH(19_large_paged_block_overrun) {
    PUCHAR P = ExAllocatePool2(POOL_FLAG_PAGED, 5000, TAG);
    Expect(BAD_POOL_HEADER, 0x21, (ULONG64)P, 5000, 0x4141414141414141);
    memset(P, 'A', 5100);
    ExFreePool(P);
}

KTEST_CRASH(C2_middle_of_a_large_paged_block_freed) {
    PUCHAR P = ExAllocatePoolWithTag(PagedPool, 3 * PAGE_SIZE, TAG);
    Expect(BAD_POOL_CALLER, 0x41286, (ULONG64)P + PAGE_SIZE, (ULONG64)P, 0);
    ExFreePoolWithTag(P + PAGE_SIZE, TAG);
}

KTEST_CRASH(C2_user_address_freed) {
    Expect(BAD_POOL_CALLER, 0x40, 0x7FFF0000, USER_SPACE_END, 0);
    ExFreePool((PVOID)0x7FFF0000);
}

KTEST_CRASH(C2_quota_allocation_at_DISPATCH_LEVEL) {
    Expect(BAD_POOL_CALLER, 8, DISPATCH_LEVEL, PagedPool | POOL_RAISE, 64);
    KeRaiseIrqlToDpcLevel();
    ExAllocatePoolWithQuotaTag(PagedPool, 64, TAG);
}

KTEST_CRASH(7E_quota_that_is_not_there) {
    Expect(SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, SIGN_EXTENDED(STATUS_INSUFFICIENT_RESOURCES), ANY, ANY, ANY);
    ExAllocatePoolWithQuotaTag(NonPagedPoolNx, 1ULL << 40, TAG);
}

/* ---- Pages, sections, system PTEs ---- */

KTEST_CRASH(4E_page_unlocked_too_often) {
    PVOID P = ExAllocatePoolWithTag(PagedPool, PAGE_SIZE, TAG);
    ULONG64 Frame = MiLockPage((ULONG64)P);
    Expect(PFN_LIST_CORRUPT, 7, Frame, 0, 0);
    MiUnlockPage(Frame, FALSE);
    MiUnlockPage(Frame, FALSE);
}

KTEST_CRASH(4E_page_freed_while_locked) {
    PVOID P = ExAllocatePoolWithTag(PagedPool, PAGE_SIZE, TAG);
    ULONG64 Frame = MiLockPage((ULONG64)P);
    Expect(PFN_LIST_CORRUPT, 0x9A, Frame, ANY, 1);
    ExFreePoolWithTag(P, TAG);
}

static ULONG DECLSPEC_ALIGN(4096) __attribute__((section("PAGEDATA"))) Pageable[1024] = {1};

KTEST_CRASH(1A_section_unlocked_too_often) {
    PVOID Handle = MmLockPagableDataSection(Pageable);
    MmUnlockPagableImageSection(Handle);
    Expect(MEMORY_MANAGEMENT, 0x1010, (ULONG64)Handle, 0, 0);
    MmUnlockPagableImageSection(Handle);
}

KTEST_CRASH(1A_section_that_does_not_exist_locked) {
    Expect(MEMORY_MANAGEMENT, 0x1234, UNMAPPED, 1, 0);
    MmLockPagableDataSection((PVOID)UNMAPPED);
}

KTEST_CRASH(DA_io_space_unmapped_twice) {
    PHYSICAL_ADDRESS Apic = {.QuadPart = 0xFEE00000};
    PVOID Va = MmMapIoSpace(Apic, PAGE_SIZE, MmNonCached);
    MmUnmapIoSpace(Va, PAGE_SIZE);
    Expect(SYSTEM_PTE_MISUSE, 0x400, (ULONG64)Va, 1, 0);
    MmUnmapIoSpace(Va, PAGE_SIZE);
}

/* ---- Correct use ---- */

/* A section that is locked is touched at DISPATCH_LEVEL, after everything pageable was taken away. */
KTEST(memory_locked_section_stays) {
    PVOID Handle = MmLockPagableDataSection(Pageable);
    MmTrimAllPageable();
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    ULONG Value = Pageable[0]++;
    KeLowerIrql(OldIrql);
    KT_EXPECT_EQ(Value, Pageable[0] - 1);
    MmUnlockPagableImageSection(Handle);
    KT_EXPECT_EQ(MmTrimRange(Pageable, sizeof(Pageable)), 1);
    KT_EXPECT(!MmIsAddressValid(Pageable));
    KT_EXPECT_EQ(Pageable[0], Value + 1);
}

KTEST(memory_locked_page_is_not_trimmed) {
    PUCHAR P = ExAllocatePoolWithTag(PagedPool, PAGE_SIZE, TAG);
    ULONG64 Frame = MiLockPage((ULONG64)P);
    KT_EXPECT(Frame != 0);
    KT_EXPECT_EQ(MmTrimRange(P, PAGE_SIZE), 0);
    KT_EXPECT(MmIsAddressValid(P));
    MiUnlockPage(Frame, FALSE);
    KT_EXPECT_EQ(MmTrimRange(P, PAGE_SIZE), 1);
    ExFreePoolWithTag(P, TAG);
}

KTEST(memory_copy_stops_where_there_is_nothing) {
    static UCHAR Target[3 * PAGE_SIZE];
    PUCHAR P = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, TAG);
    MM_COPY_ADDRESS From = {.VirtualAddress = P};
    SIZE_T Done = 1;
    memset(P, 7, PAGE_SIZE);
    KT_EXPECT_EQ(MmCopyMemory(Target, From, PAGE_SIZE, MM_COPY_MEMORY_VIRTUAL, &Done), STATUS_SUCCESS);
    KT_EXPECT_EQ(Done, PAGE_SIZE);
    KT_EXPECT_EQ(Target[PAGE_SIZE - 1], 7);
    From.PhysicalAddress = MmGetPhysicalAddress(P + 16);
    KT_EXPECT_EQ(MmCopyMemory(Target, From, 16, MM_COPY_MEMORY_PHYSICAL, &Done), STATUS_SUCCESS);
    From.VirtualAddress = (PVOID)UNMAPPED;
    KT_EXPECT_EQ(MmCopyMemory(Target, From, 16, MM_COPY_MEMORY_VIRTUAL, &Done), STATUS_INVALID_ADDRESS);
    KT_EXPECT_EQ(Done, 0);
    KT_EXPECT_EQ(MmCopyMemory(Target, From, 16, 3, &Done), STATUS_INVALID_PARAMETER);
    ExFreePoolWithTag(P, TAG);
}

KTEST(memory_system_routines_are_found_by_name) {
    UNICODE_STRING Name;
    RtlInitUnicodeString(&Name, L"KeBugCheckEx");
    KT_EXPECT_EQ((ULONG64)MmGetSystemRoutineAddress(&Name), (ULONG64)KeBugCheckEx);
    RtlInitUnicodeString(&Name, L"KeBugCheckExx");
    KT_EXPECT(MmGetSystemRoutineAddress(&Name) == NULL);
}

KTEST(memory_contiguous_within_limits) {
    PHYSICAL_ADDRESS Low = {.QuadPart = 0x800000}, High = {.QuadPart = 0xFFFFFFFF}, Boundary = {.QuadPart = 0x10000};
    PVOID P = MmAllocateContiguousMemorySpecifyCache(0x9000, Low, High, Boundary, MmCached);
    KT_REQUIRE(P != NULL);
    ULONG64 Start = (ULONG64)MmGetPhysicalAddress(P).QuadPart;
    KT_EXPECT(Start >= 0x800000);
    KT_EXPECT_EQ(Start / 0x10000, (Start + 0x8FFF) / 0x10000);
    MmFreeContiguousMemorySpecifyCache(P, 0x9000, MmCached);
    P = MmAllocateNonCachedMemory(5000);
    KT_REQUIRE(P != NULL);
    KT_EXPECT((*MiGetPteAddress((ULONG64)P) & PTE_CACHE_DISABLE) != 0);
    memset(P, 1, 5000);
    MmFreeNonCachedMemory(P, 5000);
}

KTEST(pool_younger_calls_refuse_what_they_do_not_know) {
    POOL_EXTENDED_PARAMETER Advice = {.Type = PoolExtendedParameterPriority},
                            Secure = {.Type = PoolExtendedParameterSecurePool};
    KT_EXPECT(ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, 0) == NULL);
    KT_EXPECT(ExAllocatePool2(POOL_FLAG_NON_PAGED | POOL_FLAG_PAGED, 64, TAG) == NULL);
    KT_EXPECT(ExAllocatePool2(POOL_FLAG_NON_PAGED | 0x1000, 64, TAG) == NULL);
    PUCHAR P = ExAllocatePool2(POOL_FLAG_NON_PAGED | POOL_FLAG_SPECIAL_POOL, 64, TAG);
    KT_EXPECT(P != NULL && P[0] == 0 && P[63] == 0);
    ExFreePool2(P, TAG, NULL, 0);
    KT_EXPECT(ExAllocatePool3(POOL_FLAG_PAGED, 64, TAG, &Secure, 1) == NULL);
    Secure.Optional = 1;
    PVOID Q = ExAllocatePool3(POOL_FLAG_PAGED, 64, TAG, &Secure, 1),
          R = ExAllocatePool3(POOL_FLAG_PAGED, 64, TAG, &Advice, 1);
    KT_EXPECT(Q != NULL && R != NULL);
    ExFreePool(Q);
    ExFreePool(R);
    KT_EXPECT(ExAllocatePoolWithQuotaTag((POOL_TYPE)(PagedPool | POOL_QUOTA_FAIL_INSTEAD_OF_RAISE), 1ULL << 40, TAG) ==
              NULL);
    P = ExAllocatePoolQuotaZero(PagedPool, 100, TAG);
    KT_EXPECT(P != NULL && P[99] == 0);
    ExFreePool(P);
}

/* test_lists.c: lists that several CPUs use at once: S-lists, lookaside lists, lists under a spin lock; rundown. */
#include "ktest.h"

/* ---- S-lists ---- */

typedef struct _ITEM {
    SLIST_ENTRY Entry;
    volatile LONG Owners;
} ITEM;

static SLIST_HEADER Head;

KTEST(slist_is_a_stack_with_a_depth) {
    static ITEM Item[3];
    ExInitializeSListHead(&Head);
    KT_EXPECT_EQ(InterlockedPopEntrySList(&Head), NULL);
    for (ULONG i = 0; i < 3; i++) {
        KT_EXPECT_EQ(InterlockedPushEntrySList(&Head, &Item[i].Entry), i ? &Item[i - 1].Entry : NULL);
        KT_EXPECT_EQ(ExQueryDepthSList(&Head), i + 1);
    }
    KT_EXPECT_EQ(FirstEntrySList(&Head), &Item[2].Entry);
    KT_EXPECT_EQ(InterlockedPopEntrySList(&Head), &Item[2].Entry);
    KT_EXPECT_EQ(InterlockedFlushSList(&Head), &Item[1].Entry);
    KT_EXPECT_EQ(Item[1].Entry.Next, &Item[0].Entry);
    KT_EXPECT_EQ(ExQueryDepthSList(&Head), 0);
    KT_EXPECT_EQ(InterlockedFlushSList(&Head), NULL);
}

static VOID PopAndPush(ULONG Processor, PVOID Context) {
    UNREFERENCED_PARAMETER(Processor);
    UNREFERENCED_PARAMETER(Context);
    for (ULONG i = 0; i < KtStress(4000); i++) {
        ITEM *A = (ITEM *)InterlockedPopEntrySList(&Head);
        ITEM *B = (ITEM *)InterlockedPopEntrySList(&Head);
        ITEM *Both[] = {A, B};
        for (ULONG j = 0; j < 2; j++) {
            if (Both[j] != NULL) {
                KT_EXPECT_EQ(InterlockedIncrement(&Both[j]->Owners), 1);
            }
        }
        for (ULONG j = 0; j < 2; j++) { /* A before B: the order in which a pop without sequence numbers goes wrong */
            if (Both[j] != NULL) {
                InterlockedDecrement(&Both[j]->Owners);
                InterlockedPushEntrySList(&Head, &Both[j]->Entry);
            }
        }
    }
}

KTEST(slist_entry_has_one_owner_at_a_time) {
    enum { COUNT = 5 };
    static ITEM Item[COUNT];
    ExInitializeSListHead(&Head);
    for (ULONG i = 0; i < COUNT; i++) {
        Item[i].Owners = 0;
        InterlockedPushEntrySList(&Head, &Item[i].Entry);
    }
    KtRunOnAllCpus(PopAndPush, NULL);
    KT_EXPECT_EQ(ExQueryDepthSList(&Head), COUNT);
    ULONG Found = 0;
    for (PSLIST_ENTRY Entry = InterlockedFlushSList(&Head); Entry != NULL; Entry = Entry->Next) {
        Found++;
    }
    KT_EXPECT_EQ(Found, COUNT);
}

/* A pop whose first entry is popped and freed between its two reads: the handler makes it begin again. */
KTEST(slist_pop_of_an_entry_that_is_gone_begins_again) {
    extern const UCHAR ExpInterlockedPopEntrySListFault[], ExpInterlockedPopEntrySListResume[];
    static ITEM Item;
    ExInitializeSListHead(&Head);
    InterlockedPushEntrySList(&Head, &Item.Entry);
    KTRAP_FRAME Frame = {.Rip = (ULONG64)ExpInterlockedPopEntrySListFault,
                         .Rdi = (ULONG64)&Head,
                         .Rax = Head.Alignment,
                         .R9 = (ULONG64)&Item};
    KT_EXPECT(!KiFixUpFault(&Frame)); /* it is still the first: the fault is a true one */
    InterlockedPopEntrySList(&Head);
    KT_EXPECT(KiFixUpFault(&Frame));
    KT_EXPECT_EQ(Frame.Rip, ExpInterlockedPopEntrySListResume);
    KT_EXPECT(!KiFixUpFault(&Frame)); /* another instruction */
}

/* A pop that has read Alignment and First, and goes on at its look at First->Next. */
static PSLIST_ENTRY PopFrom(PSLIST_HEADER Header, ULONG64 Alignment, const void *First) {
    register ULONG64 R8 __asm__("r8"), R9 __asm__("r9") = (ULONG64)First;
    ULONG64 Rax = Alignment, Rdx = (ULONG64)First;
    __asm__ volatile("mov %%rbx, %%r8\n\tcall ExpInterlockedPopEntrySListFault"
                     : "+a"(Rax), "+d"(Rdx), "=r"(R8), "+r"(R9)
                     : "D"(Header)
                     : "rcx", "r10", "r11", "memory", "cc");
    return (PSLIST_ENTRY)Rax;
}

/* The memory manager has its turn first, and only a fault that it would refuse is fixed up: at any IRQL. */
KTEST(slist_pop_of_an_entry_that_is_gone_faults_and_begins_again) {
    static ITEM Item;
    KIRQL OldIrql;
    PUCHAR Page = ExAllocatePoolWithTag(PagedPool, PAGE_SIZE, 'tseT');
    KT_REQUIRE(Page != NULL);
    memset(Page, 0, PAGE_SIZE);
    ExInitializeSListHead(&Head);
    ULONG64 Before = Head.Alignment;

    InterlockedPushEntrySList(&Head, &Item.Entry);
    MmTrimRange(Page, PAGE_SIZE);
    KT_EXPECT(!MmIsAddressValid(Page));
    KT_EXPECT_EQ(PopFrom(&Head, Before, Page), &Item.Entry);
    KT_EXPECT(MmIsAddressValid(Page)); /* it could be had, and was */

    InterlockedPushEntrySList(&Head, &Item.Entry);
    MmTrimRange(Page, PAGE_SIZE);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    PSLIST_ENTRY Raised = PopFrom(&Head, Before, Page);
    KeLowerIrql(OldIrql);
    KT_EXPECT_EQ(Raised, &Item.Entry);
    KT_EXPECT(!MmIsAddressValid(Page));
    ExFreePoolWithTag(Page, 'tseT');

    InterlockedPushEntrySList(&Head, &Item.Entry);
    KT_EXPECT_EQ(PopFrom(&Head, Before, Page), &Item.Entry); /* freed: otherwise 0x50 */
}

/* ---- Lists and numbers under a spin lock ---- */

typedef struct _LINKED {
    LIST_ENTRY Links;
    SINGLE_LIST_ENTRY Link;
} LINKED;

static LIST_ENTRY Doubly;
static SINGLE_LIST_ENTRY Singly;
static KSPIN_LOCK ListLock;
static volatile LONG Taken;
static ULONG Sum;
static LARGE_INTEGER LargeSum;

KTEST(interlocked_calls_return_what_was_there) {
    static LINKED Item[3];
    static KSPIN_LOCK Lock;
    InitializeListHead(&Doubly);
    Singly.Next = NULL;
    KT_EXPECT_EQ(ExInterlockedRemoveHeadList(&Doubly, &Lock), NULL);
    KT_EXPECT_EQ(ExInterlockedInsertHeadList(&Doubly, &Item[0].Links, &Lock), NULL);
    KT_EXPECT_EQ(ExInterlockedInsertHeadList(&Doubly, &Item[1].Links, &Lock), &Item[0].Links);
    KT_EXPECT_EQ(ExInterlockedInsertTailList(&Doubly, &Item[2].Links, &Lock), &Item[0].Links);
    KT_EXPECT_EQ(ExInterlockedRemoveHeadList(&Doubly, &Lock), &Item[1].Links);
    KT_EXPECT_EQ(ExInterlockedPopEntryList(&Singly, &Lock), NULL);
    KT_EXPECT_EQ(ExInterlockedPushEntryList(&Singly, &Item[0].Link, &Lock), NULL);
    KT_EXPECT_EQ(ExInterlockedPushEntryList(&Singly, &Item[1].Link, &Lock), &Item[0].Link);
    KT_EXPECT_EQ(ExInterlockedPopEntryList(&Singly, &Lock), &Item[1].Link);
    ULONG Number = 5;
    LARGE_INTEGER Large = {.QuadPart = 0xFFFFFFFF}, One = {.QuadPart = 1};
    KT_EXPECT_EQ(ExInterlockedAddUlong(&Number, 3, &Lock), 5);
    KT_EXPECT_EQ(Number, 8);
    KT_EXPECT_EQ(ExInterlockedAddLargeInteger(&Large, One, &Lock).QuadPart, 0xFFFFFFFF);
    KT_EXPECT_EQ(Large.QuadPart, 0x100000000);
    KIRQL OldIrql = KfRaiseIrql(HIGH_LEVEL); /* any level */
    KT_EXPECT_EQ(ExInterlockedAddUlong(&Number, 1, &Lock), 8);
    KeLowerIrql(OldIrql);
}

static VOID UseLists(ULONG Processor, PVOID Context) {
    LARGE_INTEGER Two = {.QuadPart = 2};
    UNREFERENCED_PARAMETER(Processor);
    UNREFERENCED_PARAMETER(Context);
    for (ULONG i = 0; i < KtRendezvous(1000); i++) {
        PLIST_ENTRY Entry = ExInterlockedRemoveHeadList(&Doubly, &ListLock);
        if (Entry != NULL) {
            InterlockedIncrement(&Taken);
            ExInterlockedInsertTailList(&Doubly, Entry, &ListLock);
        }
        ExInterlockedAddUlong(&Sum, 1, &ListLock);
        ExInterlockedAddLargeInteger(&LargeSum, Two, &ListLock);
    }
}

KTEST(interlocked_calls_lose_nothing) {
    static LINKED Item[2];
    InitializeListHead(&Doubly);
    InsertTailList(&Doubly, &Item[0].Links);
    InsertTailList(&Doubly, &Item[1].Links);
    Sum = 0;
    LargeSum.QuadPart = 0;
    KtRunOnAllCpus(UseLists, NULL);
    KT_EXPECT_EQ(Sum, KeNumberProcessors * KtRendezvous(1000));
    KT_EXPECT_EQ(LargeSum.QuadPart, 2 * (LONGLONG)Sum);
    KT_EXPECT(RemoveHeadList(&Doubly) != &Doubly && RemoveHeadList(&Doubly) != &Doubly && IsListEmpty(&Doubly));
}

/* ---- Lookaside lists ---- */

static volatile LONG Allocated, Freed;

static PVOID CountingAllocate(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag) {
    InterlockedIncrement(&Allocated);
    return ExAllocatePoolWithTag(PoolType, NumberOfBytes, Tag);
}

static VOID CountingFree(PVOID Buffer) {
    InterlockedIncrement(&Freed);
    ExFreePool(Buffer);
}

KTEST(lookaside_gives_freed_blocks_out_again) {
    static NPAGED_LOOKASIDE_LIST List;
    PVOID Block[8];
    Allocated = Freed = 0;
    ExInitializeNPagedLookasideList(&List, CountingAllocate, CountingFree, 0, 100, 'tseT', 0);
    for (ULONG i = 0; i < 8; i++) {
        Block[i] = ExAllocateFromNPagedLookasideList(&List);
        KT_REQUIRE(Block[i] != NULL);
        memset(Block[i], (int)i, 100);
    }
    KT_EXPECT_EQ(Allocated, 8);
    for (ULONG i = 0; i < 8; i++) {
        ExFreeToNPagedLookasideList(&List, Block[i]);
    }
    KT_EXPECT_EQ(Freed, 8 - List.L.Depth);
    KT_EXPECT_EQ(ExAllocateFromNPagedLookasideList(&List), Block[List.L.Depth - 1]); /* the last one that could wait */
    KT_EXPECT_EQ(Allocated, 8);
    ExFreeToNPagedLookasideList(&List, Block[List.L.Depth - 1]);
    ExDeleteNPagedLookasideList(&List);
    KT_EXPECT_EQ(Allocated, Freed);
}

static POOL_TYPE AskedType;

static PVOID RememberType(POOL_TYPE Type, SIZE_T Bytes, ULONG Tag) {
    UNREFERENCED_PARAMETER(Bytes);
    UNREFERENCED_PARAMETER(Tag);
    AskedType = Type;
    return NULL;
}

/* The caller's own routine gets the flags with the type. */
KTEST(lookaside_hands_its_flags_on) {
    NPAGED_LOOKASIDE_LIST Nonpaged;
    PAGED_LOOKASIDE_LIST Paged;
    ExInitializeNPagedLookasideList(&Nonpaged, RememberType, NULL,
                                    POOL_NX_ALLOCATION | POOL_RAISE_IF_ALLOCATION_FAILURE, 64, 'looK', 0);
    KT_EXPECT(ExAllocateFromNPagedLookasideList(&Nonpaged) == NULL);
    KT_EXPECT_EQ((ULONG)AskedType, NonPagedPoolNx | POOL_RAISE_IF_ALLOCATION_FAILURE);
    ExDeleteNPagedLookasideList(&Nonpaged);
    ExInitializeNPagedLookasideList(&Nonpaged, RememberType, NULL, 0, 64, 'looK', 0);
    KT_EXPECT(ExAllocateFromNPagedLookasideList(&Nonpaged) == NULL && AskedType == NonPagedPool);
    ExDeleteNPagedLookasideList(&Nonpaged);
    ExInitializePagedLookasideList(&Paged, RememberType, NULL, POOL_RAISE_IF_ALLOCATION_FAILURE, 64, 'looK', 0);
    KT_EXPECT(ExAllocateFromPagedLookasideList(&Paged) == NULL);
    KT_EXPECT_EQ((ULONG)AskedType, PagedPool | POOL_RAISE_IF_ALLOCATION_FAILURE);
    ExDeletePagedLookasideList(&Paged);
}

KTEST(lookaside_grows_deeper_when_it_is_often_empty) {
    static LOOKASIDE_LIST_EX List;
    PVOID Block[16];
    KT_EXPECT(!NT_SUCCESS(ExInitializeLookasideListEx(&List, NULL, NULL, PagedPool, 3, 64, 'tseT', 0)));
    KT_REQUIRE(NT_SUCCESS(ExInitializeLookasideListEx(&List, NULL, NULL, PagedPool, 0, 64, 'tseT', 0)));
    USHORT Depth = List.L.Depth;
    for (ULONG Round = 0; Round < 64; Round++) {
        for (ULONG i = 0; i < 16; i++) {
            Block[i] = ExAllocateFromLookasideListEx(&List);
            KT_REQUIRE(Block[i] != NULL);
        }
        for (ULONG i = 0; i < 16; i++) {
            ExFreeToLookasideListEx(&List, Block[i]);
        }
    }
    KT_EXPECT(List.L.Depth > Depth);
    KT_EXPECT(List.L.AllocateMisses < List.L.TotalAllocates / 2);
    ExFlushLookasideListEx(&List);
    KT_EXPECT_EQ(ExQueryDepthSList(&List.L.ListHead), 0);
    ExDeleteLookasideListEx(&List);
}

/* ---- Rundown protection ---- */

static EX_RUNDOWN_REF Rundown;
static PEX_RUNDOWN_REF_CACHE_AWARE CacheAware;
static volatile BOOLEAN IsOver;

static VOID TearDown(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    ExWaitForRundownProtectionRelease(&Rundown);
    IsOver = TRUE;
}

KTEST(rundown_waits_for_the_last_user_and_lets_nobody_else_in) {
    static KT_THREAD Thread;
    IsOver = FALSE;
    ExInitializeRundownProtection(&Rundown);
    KT_EXPECT(ExAcquireRundownProtection(&Rundown));
    KT_EXPECT(ExAcquireRundownProtectionEx(&Rundown, 2));
    KT_EXPECT_EQ(Rundown.Count, 6);
    KT_REQUIRE(KtCreateThread(&Thread, "teardown", 8, KT_ANY_PROCESSOR, TearDown, NULL));
    KT_WAIT_UNTIL(Thread.Thread->Tcb.State == Waiting && Thread.Thread->Tcb.BlockingKind == LockRundown);
    KT_EXPECT(!ExAcquireRundownProtection(&Rundown));
    ExReleaseRundownProtectionEx(&Rundown, 2);
    KT_EXPECT(!IsOver);
    ExReleaseRundownProtection(&Rundown);
    KtJoin(&Thread);
    KT_EXPECT(IsOver);
    ExRundownCompleted(&Rundown);
    KT_EXPECT_EQ(Rundown.Count, 1);
    ExWaitForRundownProtectionRelease(&Rundown); /* at once */
    ExReInitializeRundownProtection(&Rundown);
    KT_EXPECT(ExAcquireRundownProtection(&Rundown));
    ExReleaseRundownProtection(&Rundown);
}

static volatile LONG Users;

static VOID UseUntilItIsGone(ULONG Processor, PVOID Context) {
    ULONG Entered = 0;
    UNREFERENCED_PARAMETER(Context);
    while (ExAcquireRundownProtectionCacheAware(CacheAware)) {
        InterlockedIncrement(&Users);
        KT_EXPECT(!IsOver);
        if (++Entered % 16 == 0) {
            KeYieldThread();
        }
        InterlockedDecrement(&Users);
        ExReleaseRundownProtectionCacheAware(CacheAware);
        if (Processor == 0 && Entered == 500) {
            ExWaitForRundownProtectionReleaseCacheAware(CacheAware);
            IsOver = TRUE;
            KT_EXPECT_EQ(Users, 0);
        }
    }
}

KTEST(rundown_of_one_count_for_each_CPU_adds_them_up) {
    IsOver = FALSE;
    Users = 0;
    CacheAware = ExAllocateCacheAwareRundownProtection(NonPagedPoolNx, 'tseT');
    KT_REQUIRE(CacheAware != NULL);
    KtRunOnAllCpus(UseUntilItIsGone, NULL);
    KT_EXPECT(IsOver);
    ExRundownCompletedCacheAware(CacheAware);
    ExReInitializeRundownProtectionCacheAware(CacheAware);
    if (KeNumberProcessors > 1) { /* in on one CPU, out on another: one count is 1 then, another one -1 */
        KtPin(0);
        KT_EXPECT(ExAcquireRundownProtectionCacheAware(CacheAware));
        KtUnpin();
        KtPin(1);
        ExReleaseRundownProtectionCacheAware(CacheAware);
        KtUnpin();
        ExWaitForRundownProtectionReleaseCacheAware(CacheAware); /* returns */
    }
    ExFreeCacheAwareRundownProtection(CacheAware);
}

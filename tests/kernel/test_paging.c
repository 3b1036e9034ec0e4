/* test_paging.c: each way of a page between valid, demand-zero, transition and page file, as each CPU sees it. */
#include "pagehelp.h"

static PULONG64 NewPages(ULONG Pages) {
    PULONG64 P = MiAllocatePoolPages(TRUE, Pages, FALSE);
    KT_EXPECT(P != NULL);
    return P;
}

/* ---- One page through all states ---- */

KTEST(paging_first_touch_gives_a_page_of_zeros) {
    PULONG64 P = NewPages(1);
    KT_EXPECT_EQ(PageState(P), PageDemandZero);
    KT_EXPECT(!MmIsAddressValid(P));
    ULONG64 Before = Counter(&MiCounters.DemandZeroFaults);
    for (ULONG Index = 0; Index < PAGE_SIZE / sizeof(*P); Index++) {
        KT_EXPECT_EQ(((volatile ULONG64 *)P)[Index], 0);
    }
    KT_EXPECT_EQ(Counter(&MiCounters.DemandZeroFaults), Before + 1);
    KT_EXPECT_EQ(PageState(P), PageValid);
    KT_EXPECT(MmIsAddressValid(P));
    MiFreePoolPages(P, 1);
    KT_EXPECT_EQ(*MiGetPteAddress((ULONG64)P), 0);
}

KTEST(paging_trimmed_dirty_page_is_modified_and_comes_back_without_a_read) {
    volatile ULONG64 *P = NewPages(1);
    *P = 42;
    KT_EXPECT_EQ(MmTrimRange((PVOID)P, 1), 1);
    KT_EXPECT_EQ(PageState((PVOID)P), PageTransition);
    KT_EXPECT_EQ(PagePfn((PVOID)P)->Location, LocationModified);
    ULONG64 Reads = Counter(&MiCounters.PageReads), Soft = Counter(&MiCounters.TransitionFaults);
    KT_EXPECT_EQ(*P, 42);
    KT_EXPECT_EQ(Counter(&MiCounters.PageReads), Reads);
    KT_EXPECT_EQ(Counter(&MiCounters.TransitionFaults), Soft + 1);
    KT_EXPECT_EQ(PageState((PVOID)P), PageValid);
    KT_EXPECT(PagePfn((PVOID)P)->IsModified); /* never written: still dirty, with a clean new PTE */
    MiFreePoolPages((PVOID)P, 1);
}

KTEST(paging_written_page_is_standby_and_a_clean_one_is_not_written_again) {
    volatile ULONG64 *P = NewPages(1);
    *P = 43;
    MmTrimRange((PVOID)P, 1);
    MmFlushModifiedPages();
    KT_EXPECT_EQ(PageState((PVOID)P), PageTransition);
    KT_EXPECT_EQ(PagePfn((PVOID)P)->Location, LocationStandby);
    ULONG64 Writes = Counter(&MiCounters.PageWrites);
    KT_EXPECT_EQ(*P, 43);
    MmTrimRange((PVOID)P, 1);
    KT_EXPECT_EQ(PagePfn((PVOID)P)->Location, LocationStandby);
    *P = 44;
    MmTrimRange((PVOID)P, 1);
    KT_EXPECT_EQ(PagePfn((PVOID)P)->Location, LocationModified);
    KT_EXPECT_EQ(Counter(&MiCounters.PageWrites), Writes);
    MiFreePoolPages((PVOID)P, 1);
}

KTEST(paging_repurposed_page_is_read_back_from_the_page_file) {
    enum { PAGES = 40 };
    volatile ULONG64 *P = NewPages(PAGES);
    for (ULONG Page = 0; Page < PAGES; Page++) {
        P[Page * 512] = 1000 + Page;
    }
    PageOut((PVOID)P, PAGES);
    ULONG64 Reads = Counter(&MiCounters.PageReads);
    for (ULONG Page = 0; Page < PAGES; Page++) {
        KT_EXPECT_EQ(PageState((PVOID)(P + Page * 512)), PageInFile);
        KT_EXPECT_EQ(P[Page * 512], 1000 + Page);
    }
    KT_EXPECT_EQ(Counter(&MiCounters.PageReads), Reads + PAGES);
    MiFreePoolPages((PVOID)P, PAGES);
    PageCheckLists();
}

KTEST(paging_faults_are_legal_at_APC_LEVEL) {
    volatile ULONG64 *P = NewPages(2);
    P[0] = 7;
    PageOut((PVOID)P, 1);
    KIRQL OldIrql;
    KeRaiseIrql(APC_LEVEL, &OldIrql);
    KT_EXPECT_EQ(P[0], 7);
    KT_EXPECT_EQ(P[512], 0);
    KeLowerIrql(OldIrql);
    MiFreePoolPages((PVOID)P, 2);
}

KTEST(paging_freed_pages_give_back_slots_and_commit_in_every_state) {
    enum { PAGES = 5 };
    MmFlushModifiedPages();
    volatile ULONG64 *Warm = NewPages(PAGES); /* its page table stays: commit is compared after that */
    MiFreePoolPages((PVOID)Warm, PAGES);
    ULONG64 Slots = Counter(&MiSlotsUsed), Commit = Counter(&MiCommittedPages);
    volatile ULONG64 *P = NewPages(PAGES);
    for (ULONG Page = 1; Page < PAGES; Page++) {
        P[Page * 512] = Page;
    }
    PageOut((PVOID)P, PAGES);    /* 0 demand-zero, 1 in the file */
    KT_EXPECT_EQ(P[2 * 512], 2); /* 2 valid and clean */
    P[3 * 512] = 33;             /* 3 valid and dirty */
    KT_EXPECT_EQ(P[4 * 512], 4);
    MmTrimRange((PVOID)(P + 4 * 512), 1); /* 4 standby */
    KT_EXPECT_EQ(Counter(&MiSlotsUsed), Slots + 4);
    MiFreePoolPages((PVOID)P, PAGES);
    KT_EXPECT_EQ(Counter(&MiSlotsUsed), Slots);
    KT_EXPECT(Counter(&MiCommittedPages) <= Commit); /* the reaper may have given back a stack meanwhile */
    PageCheckLists();
}

/* ---- Reads and writes that are held in the disk ---- */

typedef struct _TOUCH {
    KT_THREAD Thread;
    volatile ULONG64 *P;
    ULONG64 Seen;
} TOUCH;

static VOID TouchThread(PVOID Context) {
    TOUCH *Touch = Context;
    Touch->Seen = *Touch->P;
}

KTEST(paging_collided_faults_share_one_read) {
    enum { THREADS = 6 };
    TOUCH Touch[THREADS];
    volatile ULONG64 *P = NewPages(1);
    *P = 4711;
    PageOut((PVOID)P, 1);
    ULONG64 Reads = Counter(&MiCounters.PageReads), Collided = Counter(&MiCounters.CollidedFaults);
    DiskAttach();
    DiskHold(TRUE, FALSE);
    for (ULONG Index = 0; Index < THREADS; Index++) {
        Touch[Index].P = P;
        Touch[Index].Seen = 0;
        KtCreateThread(&Touch[Index].Thread, "touch", 8, KT_ANY_PROCESSOR, TouchThread, &Touch[Index]);
    }
    KT_WAIT_UNTIL(Counter(&MiCounters.CollidedFaults) == Collided + THREADS - 1);
    KT_EXPECT_EQ(DiskHeld(), 1);
    KT_EXPECT_EQ(PagePfn((PVOID)P)->HasRead, TRUE);
    DiskRelease();
    for (ULONG Index = 0; Index < THREADS; Index++) {
        KtJoin(&Touch[Index].Thread);
        KT_EXPECT_EQ(Touch[Index].Seen, 4711);
    }
    DiskDetach();
    KT_EXPECT_EQ(Counter(&MiCounters.PageReads), Reads + 1);
    MiFreePoolPages((PVOID)P, 1);
    PageCheckLists();
}

typedef struct _TOUCH_APC {
    KAPC Apc;
    volatile ULONG64 *P;
    ULONG64 Seen;
    volatile LONG Runs;
} TOUCH_APC;

static VOID TouchInApc(PKAPC Apc, PKNORMAL_ROUTINE *NormalRoutine, PVOID *NormalContext, PVOID *Argument1,
                       PVOID *Argument2) {
    TOUCH_APC *Touch = CONTAINING_RECORD(Apc, TOUCH_APC, Apc);
    UNREFERENCED_PARAMETER(NormalRoutine);
    UNREFERENCED_PARAMETER(NormalContext);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    Touch->Seen = *Touch->P;
    InterlockedIncrement(&Touch->Runs);
}

/* Inside the fault it could wait for the read that its own thread is about to start. */
KTEST(paging_an_apc_comes_after_the_fault_of_its_thread_and_not_into_it) {
    TOUCH Touch = {.P = NewPages(1)};
    TOUCH_APC Apc = {.P = Touch.P};
    *Touch.P = 815;
    PageOut((PVOID)Touch.P, 1);
    DiskAttach();
    DiskHold(TRUE, FALSE);
    KtCreateThread(&Touch.Thread, "touch", 8, KT_ANY_PROCESSOR, TouchThread, &Touch);
    KT_WAIT_UNTIL(DiskHeld() == 1);
    KeInitializeApc(&Apc.Apc, &Touch.Thread.Thread->Tcb, OriginalApcEnvironment, TouchInApc, NULL, NULL, KernelMode,
                    NULL);
    KT_EXPECT(KeInsertQueueApc(&Apc.Apc, NULL, NULL, IO_NO_INCREMENT));
    ULONG64 Collided = Counter(&MiCounters.CollidedFaults);
    KtSleep(20); /* in which it would run and fault, if it could */
    KT_EXPECT_EQ(Counter(&MiCounters.CollidedFaults), Collided);
    DiskDetach();
    KtJoin(&Touch.Thread);
    KT_EXPECT_EQ(Touch.Seen, 815);
    KT_EXPECT_EQ(Apc.Runs, 1);
    KT_EXPECT_EQ(Apc.Seen, 815);
    MiFreePoolPages((PVOID)Touch.P, 1);
}

typedef struct _FLUSHER {
    KT_THREAD Thread;
} FLUSHER;

static VOID FlushThread(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    MmFlushModifiedPages();
}

/* Starts the write of a trimmed page and stops it in the disk. */
static VOID BeginWrite(FLUSHER *Flusher, volatile ULONG64 *P) {
    MmFlushModifiedPages(); /* the pages of others */
    MmTrimRange((PVOID)P, 1);
    DiskAttach();
    DiskHold(FALSE, TRUE);
    KtCreateThread(&Flusher->Thread, "flush", 8, KT_ANY_PROCESSOR, FlushThread, NULL);
    KT_WAIT_UNTIL(PagePfn((PVOID)P)->HasWrite);
    KT_WAIT_UNTIL(DiskHeld() == 1);
}

static VOID EndWrite(FLUSHER *Flusher) {
    DiskDetach();
    KtJoin(&Flusher->Thread);
}

KTEST(paging_page_changed_during_its_write_is_written_again) {
    FLUSHER Flusher;
    volatile ULONG64 *P = NewPages(1);
    *P = 1;
    BeginWrite(&Flusher, P);
    *P = 2; /* a soft fault on a page in flight, and a change that the disk may or may not see */
    KT_EXPECT_EQ(PageState((PVOID)P), PageValid);
    ULONG64 Writes = Counter(&MiCounters.PageWrites);
    EndWrite(&Flusher);
    PageOut((PVOID)P, 1);
    KT_EXPECT_EQ(PageState((PVOID)P), PageInFile);
    KT_EXPECT_EQ(Counter(&MiCounters.PageWrites), Writes + 2);
    KT_EXPECT_EQ(*P, 2);
    MiFreePoolPages((PVOID)P, 1);
}

KTEST(paging_page_changed_and_trimmed_during_its_write_goes_back_to_the_modified_list) {
    FLUSHER Flusher;
    volatile ULONG64 *P = NewPages(1);
    *P = 1;
    BeginWrite(&Flusher, P);
    *P = 3;
    MmTrimRange((PVOID)P, 1);
    KT_EXPECT_EQ(PagePfn((PVOID)P)->Location, LocationTransition); /* in no list: no second write meanwhile */
    KT_EXPECT(PagePfn((PVOID)P)->IsModified);
    ULONG64 Writes = Counter(&MiCounters.PageWrites);
    EndWrite(&Flusher);
    PageOut((PVOID)P, 1);
    KT_EXPECT_EQ(Counter(&MiCounters.PageWrites), Writes + 2); /* the disk may have seen the old contents */
    KT_EXPECT_EQ(*P, 3);
    MiFreePoolPages((PVOID)P, 1);
    PageCheckLists();
}

KTEST(paging_page_only_read_during_its_write_stays_clean) {
    FLUSHER Flusher;
    volatile ULONG64 *P = NewPages(1);
    *P = 9;
    BeginWrite(&Flusher, P);
    KT_EXPECT_EQ(*P, 9);
    EndWrite(&Flusher);
    ULONG64 Writes = Counter(&MiCounters.PageWrites);
    PageOut((PVOID)P, 1);
    KT_EXPECT_EQ(Counter(&MiCounters.PageWrites), Writes);
    KT_EXPECT_EQ(*P, 9);
    MiFreePoolPages((PVOID)P, 1);
}

KTEST(paging_page_freed_during_its_write_is_freed_when_that_ends) {
    FLUSHER Flusher;
    volatile ULONG64 *P = NewPages(1);
    MmFlushModifiedPages();
    ULONG64 Slots = Counter(&MiSlotsUsed);
    *P = 5;
    BeginWrite(&Flusher, P);
    PMMPFN Pfn = PagePfn((PVOID)P);
    MiFreePoolPages((PVOID)P, 1);
    KT_EXPECT(Pfn->IsDeleted && Pfn->HasWrite);
    KT_EXPECT_EQ(Counter(&MiSlotsUsed), Slots + 1);
    EndWrite(&Flusher);
    KT_EXPECT_EQ(Counter(&MiSlotsUsed), Slots);
    PageCheckLists();
}

/* The fault of a touch, without the touch: the address may be gone when it ends. */
static VOID ResolveThread(PVOID Context) {
    TOUCH *Touch = Context;
    KTRAP_FRAME Frame = {.FaultAddress = (ULONG64)Touch->P};
    MiResolveFault(&Frame, (ULONG64)Touch->P, MiGetPteAddress((ULONG64)Touch->P));
}

KTEST(paging_page_freed_during_its_read_is_freed_when_that_ends) {
    TOUCH Touch = {.P = NewPages(1)};
    MmFlushModifiedPages();
    ULONG64 Slots = Counter(&MiSlotsUsed);
    *Touch.P = 6;
    PageOut((PVOID)Touch.P, 1);
    DiskAttach();
    DiskHold(TRUE, FALSE);
    KtCreateThread(&Touch.Thread, "resolve", 8, KT_ANY_PROCESSOR, ResolveThread, &Touch);
    KT_WAIT_UNTIL(DiskHeld() == 1);
    PMMPFN Pfn = PagePfn((PVOID)Touch.P);
    KT_EXPECT(Pfn->HasRead);
    MiFreePoolPages((PVOID)Touch.P, 1);
    KT_EXPECT(Pfn->IsDeleted && Pfn->HasRead && Pfn->Location == LocationTransition);
    DiskDetach();
    KtJoin(&Touch.Thread);
    KT_EXPECT(!Pfn->IsDeleted && !Pfn->HasRead);
    KT_EXPECT_EQ(Counter(&MiSlotsUsed), Slots);
    PageCheckLists();
}

typedef struct _TOUCH_TWO {
    TOUCH First;
    volatile ULONG64 *Second;
} TOUCH_TWO;

static VOID TouchTwoThread(PVOID Context) {
    TOUCH_TWO *Touch = Context;
    TouchThread(&Touch->First);
    Touch->First.Seen += *Touch->Second;
}

/* The starter of a read gives its block back, and needs one for another page at once, while a thread that joined the first
 * read has not looked yet. All on one CPU, which this thread keeps until the second read is held too. */
KTEST(paging_block_of_a_read_is_kept_for_those_who_joined_it) {
    TOUCH_TWO Starter = {.First.P = NewPages(1), .Second = NewPages(1)};
    TOUCH Joiner = {.P = Starter.First.P};
    *Starter.First.P = 100;
    *Starter.Second = 23;
    PageOut((PVOID)Starter.First.P, 1);
    PageOut((PVOID)Starter.Second, 1);
    KPRIORITY Old = KeSetPriorityThread(KeGetCurrentThread(), 12);
    KtPin(0);
    ULONG64 Collided = Counter(&MiCounters.CollidedFaults);
    DiskAttach();
    DiskHold(TRUE, FALSE);
    KtCreateThread(&Starter.First.Thread, "starter", 10, 0, TouchTwoThread, &Starter);
    KT_WAIT_UNTIL(DiskHeld() == 1);
    KtCreateThread(&Joiner.Thread, "joiner", 8, 0, TouchThread, &Joiner);
    KT_WAIT_UNTIL(Counter(&MiCounters.CollidedFaults) == Collided + 1);
    DiskRelease();
    DiskHold(TRUE, FALSE);
    KtJoin(&Joiner.Thread);
    KT_EXPECT_EQ(Joiner.Seen, 100);
    KT_WAIT_UNTIL(DiskHeld() == 1);
    KT_EXPECT(!MmIsAddressValid((PVOID)Starter.Second)); /* its read is still in the disk */
    DiskDetach();
    KtJoin(&Starter.First.Thread);
    KT_EXPECT_EQ(Starter.First.Seen, 123);
    KtUnpin();
    KeSetPriorityThread(KeGetCurrentThread(), Old);
    MiFreePoolPages((PVOID)Starter.First.P, 1);
    MiFreePoolPages((PVOID)Starter.Second, 1);
    PageCheckLists();
}

KTEST(paging_failed_write_loses_nothing_and_leaves_the_slot_alone) {
    volatile ULONG64 *P = NewPages(1);
    *P = 77;
    MmFlushModifiedPages();
    MmTrimRange((PVOID)P, 1);
    ULONG64 Limit = Counter(&MiCommitLimit);
    DiskAttach();
    DiskFail(1, STATUS_IO_DEVICE_ERROR);
    MmFlushModifiedPages();
    DiskDetach();
    KT_EXPECT_EQ(Counter(&MiCommitLimit), Limit - 1);
    PageOut((PVOID)P, 1);
    KT_EXPECT_EQ(PageState((PVOID)P), PageInFile);
    KT_EXPECT(MiGetPteSlot(*MiGetPteAddress((ULONG64)P)) != DiskFailedSlot());
    KT_EXPECT_EQ(*P, 77);
    MiFreePoolPages((PVOID)P, 1);
}

KTEST_CRASH(paging_page_that_cannot_be_read) {
    volatile ULONG64 *P = NewPages(1);
    *P = 1;
    PageOut((PVOID)P, 1);
    DiskAttach();
    DiskFail(1, STATUS_IO_DEVICE_ERROR);
    KT_EXPECT_EQ(*P, 1);
}

/* ---- Translations on other CPUs ---- */

typedef struct _REMOTE {
    volatile ULONG64 *P;
    volatile LONG Step;
    volatile ULONG64 Seen;
} REMOTE;

/* Touches the page once per odd step: the second touch comes with the translation that this CPU's TLB has kept. */
static VOID RemoteThread(PVOID Context) {
    REMOTE *Remote = Context;
    for (LONG Step = 1; Step <= 3; Step += 2) {
        while (__atomic_load_n(&Remote->Step, __ATOMIC_ACQUIRE) != Step) {
            YieldProcessor();
        }
        Remote->Seen = *Remote->P;
        __atomic_store_n(&Remote->Step, Step + 1, __ATOMIC_RELEASE);
    }
}

static VOID AwaitStep(REMOTE *Remote, LONG Step) {
    while (__atomic_load_n(&Remote->Step, __ATOMIC_ACQUIRE) != Step) {
        YieldProcessor();
    }
}

KTEST(paging_no_cpu_uses_its_old_translation_after_a_trim) {
    KT_NEEDS_PROCESSORS(2);
    KtPin(0);
    for (ULONG Processor = 1; Processor < KeNumberProcessors; Processor++) {
        for (ULONG Round = 0; Round < KtStress(200) / KeNumberProcessors + 1; Round++) {
            REMOTE Remote = {.P = NewPages(1)};
            KT_THREAD Thread;
            *Remote.P = 11;
            KtCreateThread(&Thread, "remote", 8, Processor, RemoteThread, &Remote);
            __atomic_store_n(&Remote.Step, 1, __ATOMIC_RELEASE);
            AwaitStep(&Remote, 2); /* it has the translation now */
            MmTrimRange((PVOID)Remote.P, 1);
            KT_EXPECT_EQ(PageState((PVOID)Remote.P), PageTransition);
            __atomic_store_n(&Remote.Step, 3, __ATOMIC_RELEASE);
            AwaitStep(&Remote, 4);
            KT_EXPECT_EQ(PageState((PVOID)Remote.P), PageValid); /* the touch has faulted */
            KT_EXPECT_EQ(Remote.Seen, 11);
            KtJoin(&Thread);
            MiFreePoolPages((PVOID)Remote.P, 1);
        }
    }
    KtUnpin();
}

/* ---- The first touch by all CPUs at once, of a page that must be zeroed first ---- */

#define TOUCH_ROUNDS 40
static volatile LONG *TouchBase;
static volatile LONG TouchArrived[TOUCH_ROUNDS];

static VOID TouchTogether(ULONG Processor, PVOID Context) {
    UNREFERENCED_PARAMETER(Processor);
    UNREFERENCED_PARAMETER(Context);
    for (ULONG Round = 0; Round < TOUCH_ROUNDS; Round++) {
        InterlockedIncrement(&TouchArrived[Round]);
        while (TouchArrived[Round] < (LONG)KeNumberProcessors) {
            YieldProcessor();
        }
        InterlockedIncrement(&TouchBase[Round * (PAGE_SIZE / sizeof(LONG))]);
    }
}

KTEST(paging_first_touch_by_all_cpus_gives_them_one_page) {
    KT_NEEDS_PROCESSORS(2);
    BOOLEAN IsZeroed;
    ULONG64 First = MI_END, ZeroedTarget = MiZeroedTarget;
    TouchBase = (volatile LONG *)NewPages(TOUCH_ROUNDS);
    memset((PVOID)TouchArrived, 0, sizeof(TouchArrived));
    KIRQL OldIrql = MiAcquirePfnLock();
    MiZeroedTarget = 0; /* the zero-page thread makes no more */
    while (MiZeroedList.Count != 0) {
        ULONG64 Frame = MiTakePage(TRUE, &IsZeroed);
        MiGetPfn(Frame)->Next = First;
        First = Frame;
    }
    MiReleasePfnLock(OldIrql);
    KtRunOnAllCpus(TouchTogether, NULL);
    OldIrql = MiAcquirePfnLock();
    MiZeroedTarget = ZeroedTarget;
    while (First != MI_END) {
        ULONG64 Next = MiGetPfn(First)->Next;
        MiGivePage(MiGetPfn(First), TRUE);
        First = Next;
    }
    MiReleasePfnLock(OldIrql);
    for (ULONG Round = 0; Round < TOUCH_ROUNDS; Round++) {
        KT_EXPECT_EQ(TouchBase[Round * (PAGE_SIZE / sizeof(LONG))], KeNumberProcessors);
    }
    MiFreePoolPages((PVOID)TouchBase, TOUCH_ROUNDS);
    PageCheckLists();
}

/* Each CPU counts in its own word of shared pages, while others take the pages away as fast as they can. */
#define COUNT_PAGES 4
static volatile ULONG64 *CountBase;
static ULONG CountRounds;
static volatile LONG Counting;

static VOID CountThread(ULONG Processor, PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    for (ULONG Round = 0; Round < CountRounds; Round++) {
        volatile ULONG64 *Word = CountBase + (Round % COUNT_PAGES) * 512 + Processor;
        *Word = *Word + 1;
    }
    InterlockedDecrement(&Counting);
}

static VOID RobThread(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    for (ULONG Round = 0; Counting != 0; Round++) {
        MmTrimRange((PVOID)CountBase, COUNT_PAGES * PAGE_SIZE);
        if (Round % 4 == 0) {
            MmFlushModifiedPages();
        }
        if (Round % 8 == 0) {
            MmPurgeStandby();
        }
        if (Round % 16 == 0) {
            KtSleep(1); /* on one CPU the others must come to run */
        }
    }
}

KTEST(paging_no_write_is_lost_to_trimming_writing_and_reading_back) {
    KT_THREAD Robber;
    CountBase = NewPages(COUNT_PAGES);
    CountRounds = KtStress(800000) / KeNumberProcessors / COUNT_PAGES * COUNT_PAGES;
    Counting = (LONG)KeNumberProcessors;
    KtCreateThread(&Robber, "robber", 9, KT_ANY_PROCESSOR, RobThread, NULL);
    KtRunOnAllCpus(CountThread, NULL);
    KtJoin(&Robber);
    for (ULONG Processor = 0; Processor < KeNumberProcessors; Processor++) {
        for (ULONG Page = 0; Page < COUNT_PAGES; Page++) {
            KT_EXPECT_EQ(CountBase[Page * 512 + Processor], CountRounds / COUNT_PAGES);
        }
    }
    MiFreePoolPages((PVOID)CountBase, COUNT_PAGES);
    PageCheckLists();
}

/* test_ipi.c: calls to all CPUs at once, and translations that no CPU may keep. */
#include "ktest.h"

typedef struct _ROUND_TABLE {
    volatile LONG Present;
    volatile LONG Calls[MAXIMUM_PROCESSORS];
    volatile LONG WrongLevel;
} ROUND_TABLE;

/* Every CPU waits here until all are here: a call that ran on one CPU after the other would never end. */
static ULONG_PTR Meet(ULONG_PTR Context) {
    ROUND_TABLE *Table = (ROUND_TABLE *)Context;
    ULONG Processor = KeGetCurrentProcessorNumber();
    if (KeGetCurrentIrql() != IPI_LEVEL) {
        InterlockedIncrement(&Table->WrongLevel);
    }
    InterlockedIncrement(&Table->Calls[Processor]);
    InterlockedIncrement(&Table->Present);
    while (Table->Present % (LONG)KeNumberProcessors != 0 && Table->Present < (LONG)KeNumberProcessors) {
        YieldProcessor();
    }
    return Processor + 100;
}

KTEST(ipi_generic_call_runs_on_all_cpus_at_the_same_time_at_IPI_LEVEL) {
    for (ULONG Round = 0; Round < KtRendezvous(200); Round++) {
        ROUND_TABLE Table = {0};
        KtPin(Round % KeNumberProcessors);
        ULONG_PTR Result = KeIpiGenericCall(Meet, (ULONG_PTR)&Table);
        KtUnpin();
        KT_EXPECT_EQ(Result, Round % KeNumberProcessors + 100);
        KT_EXPECT_EQ(Table.WrongLevel, 0);
        for (ULONG Processor = 0; Processor < KeNumberProcessors; Processor++) {
            KT_EXPECT_EQ(Table.Calls[Processor], 1);
        }
    }
}

typedef struct _LATECOMER {
    volatile LONG IsBusy, Early;
} LATECOMER;

static ULONG_PTR NoteIfEarly(ULONG_PTR Context) {
    LATECOMER *Late = (LATECOMER *)Context;
    if (Late->IsBusy) {
        InterlockedIncrement(&Late->Early);
    }
    return 0;
}

/* This CPU takes no IPI for a while. */
static VOID StayBusy(PVOID Context) {
    LATECOMER *Late = Context;
    KIRQL OldIrql = KfRaiseIrql(HIGH_LEVEL);
    Late->IsBusy = TRUE;
    for (ULONG Count = 0; Count < 200; Count++) {
        KtSpin();
    }
    Late->IsBusy = FALSE;
    KeLowerIrql(OldIrql);
}

KTEST(ipi_generic_call_starts_nowhere_before_all_cpus_have_arrived) {
    LATECOMER Late = {0};
    KT_THREAD Thread;
    KT_NEEDS_PROCESSORS(2);
    KtPin(0);
    for (ULONG Round = 0; Round < 5; Round++) {
        KT_REQUIRE(KtCreateThread(&Thread, "late", 8, 1, StayBusy, &Late));
        while (!Late.IsBusy && Thread.Thread->Tcb.State != Terminated) {
            YieldProcessor();
        }
        KeIpiGenericCall(NoteIfEarly, (ULONG_PTR)&Late);
        KtJoin(&Thread);
    }
    KtUnpin();
    KT_EXPECT_EQ(Late.Early, 0);
}

static ULONG_PTR CountCall(ULONG_PTR Context) {
    InterlockedIncrement((volatile LONG *)Context);
    return 0;
}

static VOID CallRepeatedly(ULONG Processor, PVOID Context) {
    UNREFERENCED_PARAMETER(Processor);
    for (ULONG Round = 0; Round < KtRendezvous(100); Round++) {
        KeIpiGenericCall(CountCall, (ULONG_PTR)Context);
    }
}

KTEST(ipi_generic_calls_of_all_cpus_do_not_block_each_other) {
    volatile LONG Calls = 0;
    KtRunOnAllCpus(CallRepeatedly, (PVOID)&Calls);
    KT_EXPECT_EQ(Calls, KtRendezvous(100) * KeNumberProcessors * KeNumberProcessors);
}

KTEST(ipi_generic_call_works_from_DISPATCH_LEVEL) {
    volatile LONG Calls = 0;
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    KeIpiGenericCall(CountCall, (ULONG_PTR)&Calls);
    KIRQL After = KeGetCurrentIrql();
    KeLowerIrql(OldIrql);
    KT_EXPECT_EQ(After, DISPATCH_LEVEL);
    KT_EXPECT_EQ(Calls, KeNumberProcessors);
}

/* ---- TLB ---- */

typedef struct _LOOK {
    volatile ULONG64 *Window;
    ULONG64 Expected;
    volatile LONG Stale;
} LOOK;

static ULONG_PTR LookThroughWindow(ULONG_PTR Context) {
    LOOK *Look = (LOOK *)Context;
    if (*Look->Window != Look->Expected) {
        InterlockedIncrement(&Look->Stale);
    }
    return 0;
}

/* The last page of the window shows page 0 or page 1, by its PTE. After KeFlushTb no CPU may see the old one. */
static VOID ExpectNothingStale(ULONG WindowPages) {
    volatile ULONG64 *Page[2];
    for (ULONG Index = 0; Index < 2; Index++) {
        Page[Index] = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, 'tseT');
        KT_REQUIRE(Page[Index] != NULL);
        *Page[Index] = 0x1000 + Index;
    }
    PUCHAR Window = MmAllocateMappedPages(RegionSystemPtes, (SIZE_T)WindowPages * PAGE_SIZE);
    KT_REQUIRE(Window != NULL);
    LOOK Look = {.Window = (PVOID)(Window + (SIZE_T)(WindowPages - 1) * PAGE_SIZE)};
    volatile MMPTE *Pte = MiGetPteAddress((ULONG64)Look.Window);
    MMPTE Original = *Pte;

    for (ULONG Round = 0; Round < KtStress(400); Round++) {
        ULONG64 Physical = (ULONG64)MmGetPhysicalAddress((PVOID)Page[Round % 2]).QuadPart;
        *Pte = (Original & ~PTE_FRAME) | Physical;
        KeFlushTb(Window, WindowPages);
        Look.Expected = 0x1000 + Round % 2;
        KeIpiGenericCall(LookThroughWindow, (ULONG_PTR)&Look);
    }
    *Pte = Original;
    KeFlushTb(Window, WindowPages);
    KT_EXPECT_EQ(Look.Stale, 0);
    ExFreePoolWithTag((PVOID)Page[0], 'tseT');
    ExFreePoolWithTag((PVOID)Page[1], 'tseT');
}

KTEST(ipi_KeFlushTb_leaves_no_cpu_with_the_old_translation) {
    ExpectNothingStale(1);
}

/* So many that the whole TLB is emptied instead: global translations, too. */
KTEST(ipi_KeFlushTb_of_many_pages_leaves_no_cpu_with_an_old_translation) {
    ExpectNothingStale(64);
}

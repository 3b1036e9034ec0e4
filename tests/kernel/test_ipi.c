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

/* The window shows page 0 or page 1, by its PTE. After KeFlushTb no CPU may see the old one. */
KTEST(ipi_KeFlushTb_leaves_no_cpu_with_the_old_translation) {
    volatile ULONG64 *Page[2];
    for (ULONG Index = 0; Index < 2; Index++) {
        Page[Index] = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, 'tseT');
        KT_REQUIRE(Page[Index] != NULL);
        *Page[Index] = 0x1000 + Index;
    }
    volatile ULONG64 *Window = MmAllocateMappedPages(RegionSystemPtes, PAGE_SIZE);
    KT_REQUIRE(Window != NULL);
    volatile MMPTE *Pte = MiGetPteAddress((ULONG64)Window);
    MMPTE Original = *Pte;
    LOOK Look = {.Window = Window};

    for (ULONG Round = 0; Round < KtRendezvous(400); Round++) {
        ULONG64 Physical = (ULONG64)MmGetPhysicalAddress((PVOID)Page[Round % 2]).QuadPart;
        *Pte = (Original & ~PTE_FRAME) | Physical;
        KeFlushTb((PVOID)Window, 1);
        Look.Expected = 0x1000 + Round % 2;
        KeIpiGenericCall(LookThroughWindow, (ULONG_PTR)&Look);
    }
    *Pte = Original;
    KeFlushTb((PVOID)Window, 1);
    KT_EXPECT_EQ(Look.Stale, 0);
    ExFreePoolWithTag((PVOID)Page[0], 'tseT');
    ExFreePoolWithTag((PVOID)Page[1], 'tseT');
}

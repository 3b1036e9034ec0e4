/* test_exclusion.c: locks hammered without a pause. A gap between two instructions shows only when two CPUs come to it
 * at nearly the same time, thousands of times: the critical section is one increment, and nothing else is done. (Not
 * for the queued lock: handed on in order of arrival, it would wait for each CPU that the host does not run at the
 * moment.) */
#include "ktest.h"

typedef struct _HAMMER {
    VOID (*Section)(struct _HAMMER *This);
    ULONG Rounds;
    volatile LONG Running;
    KSPIN_LOCK Lock;
    volatile UCHAR TextbookLock;
    volatile ULONG64 Counter; /* guarded by the lock under test */
} HAMMER;

static VOID UnderSpinLock(HAMMER *This) {
    KeAcquireSpinLockAtDpcLevel(&This->Lock);
    This->Counter++;
    KeReleaseSpinLockFromDpcLevel(&This->Lock);
}

static VOID UnderTriedLock(HAMMER *This) {
    while (!KeTryToAcquireSpinLockAtDpcLevel(&This->Lock)) {
    }
    This->Counter++;
    KeReleaseSpinLockFromDpcLevel(&This->Lock);
}

static VOID UnderTextbookLock(HAMMER *This) {
    KiAcquireTextbookLock(&This->TextbookLock);
    This->Counter++;
    KiReleaseTextbookLock(&This->TextbookLock);
}

/* In slices at DISPATCH_LEVEL, so that ticks and other threads have their turn between them. */
#define SLICE 256
static VOID Strike(ULONG Processor, PVOID Context) {
    HAMMER *This = Context;
    UNREFERENCED_PARAMETER(Processor);
    InterlockedIncrement(&This->Running);
    while (This->Running < (LONG)KeNumberProcessors) {
        YieldProcessor();
    }
    for (ULONG Round = 0; Round < This->Rounds;) {
        KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
        do {
            This->Section(This);
        } while (++Round % SLICE != 0 && Round < This->Rounds);
        KeLowerIrql(OldIrql);
    }
}

static VOID ExpectNothingLost(VOID (*Section)(HAMMER *This), ULONG Rounds) {
    HAMMER This = {.Section = Section, .Rounds = KtStress(Rounds)};
    KeInitializeSpinLock(&This.Lock);
    KtRunOnAllCpus(Strike, &This);
    KT_EXPECT_EQ(This.Counter, (ULONG64)This.Rounds * KeNumberProcessors);
}

KTEST(exclusion_spin_lock_loses_no_count) {
    ExpectNothingLost(UnderSpinLock, 300000);
}

KTEST(exclusion_tried_lock_loses_no_count) {
    ExpectNothingLost(UnderTriedLock, 200000);
}

KTEST(exclusion_textbook_lock_loses_no_count) {
    ExpectNothingLost(UnderTextbookLock, 300000);
}

/* ---- A DPC without a target goes to its caller's queue: of two CPUs at one time, one wins it. A success of
 * KeInsertQueueDpc is one run, unless KeRemoveQueueDpc has taken it back ---- */

typedef struct _CONTESTED {
    KDPC Dpc;
    volatile LONG Running, Queued, Runs;
} CONTESTED;

static VOID CountRun(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    InterlockedIncrement(&((CONTESTED *)Context)->Runs);
}

static VOID QueueAgain(ULONG Processor, PVOID Context) {
    CONTESTED *Contested = Context;
    LONG Queued = 0;
    UNREFERENCED_PARAMETER(Processor);
    InterlockedIncrement(&Contested->Running);
    while (Contested->Running < (LONG)KeNumberProcessors) {
        YieldProcessor();
    }
    for (ULONG Round = 0; Round < KtStress(60000);) {
        KIRQL OldIrql = KeRaiseIrqlToDpcLevel(); /* it does not run here, so it can be taken back at once */
        do {
            if (KeInsertQueueDpc(&Contested->Dpc, NULL, NULL)) {
                Queued += !KeRemoveQueueDpc(&Contested->Dpc);
            }
        } while (++Round % SLICE != 0);
        KeLowerIrql(OldIrql);
        Queued += KeInsertQueueDpc(&Contested->Dpc, NULL, NULL);
    }
    InterlockedExchangeAdd(&Contested->Queued, Queued);
}

KTEST(exclusion_dpc_is_won_by_one_queue) {
    CONTESTED Contested = {0};
    KeInitializeDpc(&Contested.Dpc, CountRun, &Contested);
    KtRunOnAllCpus(QueueAgain, &Contested);
    KeFlushQueuedDpcs();
    KT_EXPECT_EQ(Contested.Runs, Contested.Queued);
}

/* ---- The pool's blocks kept per CPU: an allocation that a DPC of its own CPU cuts in two gets a block of its own
 * ---- */

#define TORN_BYTES 48
#define TORN_TAG 'nroT'
#define DPC_MARK 0xD5
#define THREAD_MARK 0x7A

typedef struct _TORN {
    KDPC Dpc;
    PUCHAR Kept; /* the DPC's */
    volatile LONG Damaged, DpcRuns, IsOver;
} TORN;

static BOOLEAN IsFilledWith(const UCHAR *P, UCHAR Mark) {
    for (ULONG Index = 0; Index < TORN_BYTES; Index++) {
        if (P[Index] != Mark) {
            return FALSE;
        }
    }
    return TRUE;
}

/* One allocation or one free each time, so that the number of kept blocks is another one afterwards. */
static VOID AllocateOrFree(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    TORN *Torn = Context;
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    if (Torn->Kept == NULL) {
        Torn->Kept = ExAllocatePoolWithTag(NonPagedPoolNx, TORN_BYTES, TORN_TAG);
        if (Torn->Kept != NULL) {
            memset(Torn->Kept, DPC_MARK, TORN_BYTES);
        }
    } else {
        Torn->Damaged += !IsFilledWith(Torn->Kept, DPC_MARK);
        ExFreePoolWithTag(Torn->Kept, TORN_TAG);
        Torn->Kept = NULL;
    }
    Torn->DpcRuns++;
}

static VOID SendDpcs(PVOID Context) {
    TORN *Torn = Context;
    while (!Torn->IsOver) {
        KeInsertQueueDpc(&Torn->Dpc, NULL, NULL);
        YieldProcessor();
    }
}

KTEST(exclusion_pool_allocation_cut_by_a_dpc_is_whole) {
    TORN Torn = {0};
    KT_THREAD Sender;
    KT_NEEDS_PROCESSORS(2);
    KeInitializeDpc(&Torn.Dpc, AllocateOrFree, &Torn);
    KeSetTargetProcessorDpc(&Torn.Dpc, 0);
    KeSetImportanceDpc(&Torn.Dpc, HighImportance);
    KtPin(0);
    KT_REQUIRE(KtCreateThread(&Sender, "sender", 8, 1, SendDpcs, &Torn));
    for (ULONG Round = 0; Torn.DpcRuns == 0 || (Round < KtStress(20000) && Torn.DpcRuns < 1000); Round++) {
        PUCHAR P[2];
        for (ULONG Index = 0; Index < 2; Index++) {
            P[Index] = ExAllocatePoolWithTag(NonPagedPoolNx, TORN_BYTES, TORN_TAG);
            KT_REQUIRE(P[Index] != NULL);
            memset(P[Index], THREAD_MARK + (int)Index, TORN_BYTES);
        }
        for (ULONG Index = 0; Index < 2; Index++) {
            if (!IsFilledWith(P[Index], (UCHAR)(THREAD_MARK + Index))) {
                InterlockedIncrement(&Torn.Damaged);
            }
            ExFreePoolWithTag(P[Index], TORN_TAG);
        }
    }
    Torn.IsOver = TRUE;
    KtJoin(&Sender);
    KtUnpin();
    KeFlushQueuedDpcs();
    if (Torn.Kept != NULL) {
        ExFreePoolWithTag(Torn.Kept, TORN_TAG);
    }
    KT_EXPECT_EQ(Torn.Damaged, 0);
}

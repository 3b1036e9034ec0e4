/* ipi.c: work that all other CPUs do at IPI_LEVEL while one waits: generic calls, TLB shoot-downs.
 *
 * There is one packet and one lock for it. The sender holds the lock at CLOCK_LEVEL, fills the packet and interrupts
 * the others with vector 0xE1. A CPU that waits for the lock spins below IPI_LEVEL with interrupts on, so it still
 * answers the sender that it waits for: no cycle can close, whichever lower-level locks the two hold. That is also why
 * a TLB shoot-down is legal under any lock whose waiters spin with IF = 1 (tests/models/shootdown.pml, newcpu.pml).
 *
 *      sender                                  every other CPU (KiIpiInterrupt)
 *      Arriving = Finishing = others
 *      IPI ------------------------------->    Arriving--
 *      generic call: wait for Arriving = 0     wait for Go
 *      Go = 1 ---------------------------->    Function(Context)
 *      Function(Context)                       Finishing--
 *      wait for Finishing = 0
 */
#include <arch.h>
#include <ke.h>
#include <mm.h>

#define FLUSH_ALL_THRESHOLD 32 /* pages; from here on reloading the whole TLB is cheaper */
#define IPI_REQUEST_CALL 1

typedef struct _IPI_PACKET {
    PKIPI_BROADCAST_WORKER Function;
    ULONG_PTR Context;
    volatile LONG Arriving, Finishing;
    volatile LONG Go;
} IPI_PACKET;

/* Guards KiIpiPacket. No rank: it is taken above every ranked lock and nothing is taken under it. */
static KSPIN_LOCK KiIpiLock;
static IPI_PACKET KiIpiPacket;

static VOID WaitForZero(volatile LONG *Counter) {
    while (__atomic_load_n(Counter, __ATOMIC_ACQUIRE) != 0) {
        YieldProcessor();
    }
}

/* IRQL < IPI_LEVEL, IF = 1. With a barrier all CPUs have arrived before the first one runs Function. */
static ULONG_PTR CallEverywhere(PKIPI_BROADCAST_WORKER Function, ULONG_PTR Context, BOOLEAN HasBarrier) {
    KIRQL OldIrql = KfRaiseIrql(CLOCK_LEVEL);
    KeAcquireSpinLockAtDpcLevel(&KiIpiLock);
    ULONG Self = KeGetCurrentPrcb()->Number;
    ULONG Count = KeNumberProcessors;
    KiIpiPacket.Function = Function;
    KiIpiPacket.Context = Context;
    KiIpiPacket.Arriving = KiIpiPacket.Finishing = (LONG)Count - 1;
    __atomic_store_n(&KiIpiPacket.Go, !HasBarrier, __ATOMIC_RELEASE);
    for (ULONG Number = 0; Number < Count; Number++) {
        if (Number != Self) {
            __atomic_fetch_or(&KiProcessorBlock[Number]->IpiRequest, IPI_REQUEST_CALL, __ATOMIC_RELEASE);
            HalRequestIpi(Number, VECTOR_IPI);
        }
    }
    KfRaiseIrql(IPI_LEVEL);
    WaitForZero(&KiIpiPacket.Arriving);
    __atomic_store_n(&KiIpiPacket.Go, TRUE, __ATOMIC_RELEASE); /* pairs with the acquire in KiIpiInterrupt */
    ULONG_PTR Result = Function(Context);
    WaitForZero(&KiIpiPacket.Finishing);
    KeLowerIrql(CLOCK_LEVEL);
    KeReleaseSpinLockFromDpcLevel(&KiIpiLock);
    KeLowerIrql(OldIrql);
    return Result;
}

/* Vector 0xE1, at IPI_LEVEL. A request flag that is already clear means that an earlier interrupt served it. */
VOID KiIpiInterrupt(PKTRAP_FRAME Frame) {
    UNREFERENCED_PARAMETER(Frame);
    PKPRCB Prcb = KeGetCurrentPrcb();
    ULONG Request = __atomic_exchange_n(&Prcb->IpiRequest, 0, __ATOMIC_ACQUIRE);
    if (!(Request & IPI_REQUEST_CALL)) {
        return;
    }
    __atomic_sub_fetch(&KiIpiPacket.Arriving, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&KiIpiPacket.Go, __ATOMIC_ACQUIRE)) {
        YieldProcessor();
    }
    KiIpiPacket.Function(KiIpiPacket.Context);
    __atomic_sub_fetch(&KiIpiPacket.Finishing, 1, __ATOMIC_RELEASE);
}

/* Runs BroadcastFunction on all CPUs at the same time, at IPI_LEVEL. Caller below IPI_LEVEL; returns the caller's own
 * CPU's result. wdm.h: KeIpiGenericCall. */
ULONG_PTR KeIpiGenericCall(PKIPI_BROADCAST_WORKER BroadcastFunction, ULONG_PTR Context) {
    return CallEverywhere(BroadcastFunction, Context, TRUE);
}

typedef struct _FLUSH_RANGE {
    ULONG64 Va;
    ULONG Count;
} FLUSH_RANGE;

static ULONG_PTR FlushRange(ULONG_PTR Context) {
    const FLUSH_RANGE *Range = (const FLUSH_RANGE *)Context;
    if (Range->Count > FLUSH_ALL_THRESHOLD) {
        HalFlushTlb();
        return 0;
    }
    for (ULONG i = 0; i < Range->Count; i++) {
        HalInvalidatePage(Range->Va + (ULONG64)i * PAGE_SIZE);
    }
    return 0;
}

VOID KeFlushTb(PVOID Va, ULONG Count) {
    FLUSH_RANGE Range = {(ULONG64)Va, Count};
    KeMemoryBarrier(); /* the PTE before the count: a CPU not yet counted flushes its TLB when it is */
    if (KeNumberProcessors <= 1) {
        FlushRange((ULONG_PTR)&Range);
        return;
    }
    CallEverywhere(FlushRange, (ULONG_PTR)&Range, FALSE);
}

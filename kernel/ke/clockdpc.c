/* clockdpc.c: a DPC on every clock tick: the finest delay without a timer of one's own.
 *
 * A KTIMER counts ticks of 15.6 ms, which is sixteen million instructions of a seeded run: far too coarse for a disk.
 * The jitter that shuffles threads in such a run interrupts each CPU every few thousand instructions. A driver that
 * wants to be called "a little later" leaves a DPC here, and the next interrupt queues it. One slot for each CPU,
 * changed by exchange only.
 *
 * A halted CPU has no jitter, only ticks; any other interrupt wakes its jitter. So it is sent one that does nothing
 * else. */
#include <arch.h>
#include <io.h>

static PKDPC volatile ClockDpc[MAXIMUM_PROCESSORS];

BOOLEAN KeQueueDpcAtClock(PKDPC Dpc, ULONG Processor) {
    PKDPC Before = InterlockedCompareExchangePointer((PVOID volatile *)&ClockDpc[Processor], Dpc, NULL);
    if (Before == NULL && KeSeed != 0 && Processor != KeGetCurrentProcessorNumber()) {
        HalRequestIpi(Processor, VECTOR_DISPATCH);
    }
    return Before == NULL || Before == Dpc;
}

VOID KeReleaseClockDpc(VOID) {
    PKDPC volatile *Slot = &ClockDpc[KeGetCurrentPrcb()->Number];
    if (*Slot != NULL) {
        PKDPC Dpc = InterlockedExchangePointer(Slot, NULL);
        KeInsertQueueDpc(Dpc, NULL, NULL);
    }
}

ULONG64 KeQueryBootSeed(VOID) {
    return KeSeed;
}

/* trace.c: the rings of the event trace: their memory and their contents (theory: trace.h).
 *
 * The rings share a fixed part of the RAM, with any number of CPUs, so that even a machine with 16 MiB and 64 CPUs
 * starts: there each ring is one page. Until CPU 0 has its ring, its events go to a ring of one, and count. */
#include <trace.h>

#include <bootinfo.h>

#define TRACE_TAG 'crTK'
#define RAM_PER_RING_BYTE 64    /* all rings together: 1/64 of the RAM */
#define SMALLEST_RING PAGE_SIZE /* 128 events */
#define LARGEST_RING 0x80000    /* 16,384 events */

static ULONG RingBytes = SMALLEST_RING;
static KTRACE_EVENT FirstRing; /* CPU 0's until it has a real one */

VOID KdInitializeTraceRing(PKPRCB Prcb) {
    Prcb->TraceRing = &FirstRing;
    Prcb->TraceMask = sizeof(FirstRing) - 1;
}

BOOLEAN KdCreateTraceRing(PKPRCB Prcb) {
    PVOID Ring = ExAllocatePoolWithTag(NonPagedPoolNx, RingBytes, TRACE_TAG);
    if (Ring == NULL) {
        return FALSE;
    }
    memset(Ring, 0, RingBytes);
    Prcb->TraceRing = Ring;
    _ReadWriteBarrier(); /* the CPU itself may trace: the ring first, then the larger mask */
    Prcb->TraceMask = RingBytes - 1;
    return TRUE;
}

VOID KdDeleteTraceRing(PKPRCB Prcb) {
    if (Prcb->TraceRing != NULL && Prcb->TraceRing != &FirstRing) {
        ExFreePoolWithTag(Prcb->TraceRing, TRACE_TAG);
    }
}

VOID KdInitializeTrace(ULONG Processors) {
    ULONG64 Wanted = KeGetBootOptionNumber("cpus", MAXIMUM_PROCESSORS);
    Processors = Wanted != 0 && Wanted < Processors ? (ULONG)Wanted : Processors;
    ULONG64 Share = KeBootInfo->TotalRam / RAM_PER_RING_BYTE / Processors;
    while (RingBytes * 2 <= Share && RingBytes < LARGEST_RING) {
        RingBytes *= 2;
    }
    KdCreateTraceRing(
        KeGetCurrentPrcb()); /* without memory it keeps the ring of one event, and will soon stop anyway */
}

/* Its CPU may write over the event meanwhile: then the times tell. */
KE_UNLOCKED const KTRACE_EVENT *KdFindTraceEvent(const KPRCB *Prcb, ULONG64 Index) {
    ULONG64 Size = ((ULONG64)Prcb->TraceMask + 1) >> KTRACE_SHIFT, Count = Prcb->TraceCount;
    if (Index >= Count || Count - Index > Size) {
        return NULL;
    }
    const KTRACE_EVENT *Event = &Prcb->TraceRing[Index % Size];
    const KTRACE_EVENT *Oldest = &Prcb->TraceRing[Count > Size ? Count % Size : 0];
    BOOLEAN IsWhole = Event->Tsc != 0 && Event->Kind > TraceNone && Event->Kind < TraceKinds;
    return IsWhole && Event->Tsc >= Oldest->Tsc ? Event : NULL;
}

/* Traces the rarer pool operations: a large one, or one whose block is not parked. */
VOID KdTracePoolAt(KIRQL Irql, KTRACE_KIND Kind, BOOLEAN IsPaged, PVOID Block, SIZE_T Bytes, ULONG Tag, PVOID Caller) {
    if (Irql < DISPATCH_LEVEL) {
        KiSetIrql(DISPATCH_LEVEL);
    }
    KdTracePool(Kind, IsPaged, Block, Bytes < MAXULONG ? Bytes : MAXULONG, Tag, Caller);
    if (Irql < DISPATCH_LEVEL) {
        KiSetIrql(Irql);
    }
}

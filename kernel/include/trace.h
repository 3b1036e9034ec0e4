/* trace.h: the event trace: each CPU's last events, in a ring that dump, screen and debugger read.
 *
 * Recorded in every build: waits, wake-ups, thread switches, interrupts, DPCs, IPIs, page faults, trims, page-ins,
 * pool operations, the bugcheck. In the checked build also every change of IRQL and every spin lock taken, waited for
 * and let go (ke/checkedlock.c); in the free build a lock is the code of spinlock.asm and nothing else.
 *
 * An event is 32 bytes and costs some ten instructions (`make bench` counts them). A CPU writes its own ring only, so
 * no lock is needed; only an interrupt on the same CPU could come in between, and it gets a place of its
 * own, because one xadd both reads and moves the cursor. The time is stored last and makes the event whole: a place
 * that was taken but not filled holds a time from before the whole ring. */
#ifndef _TRACE_H_
#define _TRACE_H_

#include <ke.h>

/* The meaning of A, B, Detail and Caller. A caller is a return address; an instruction is the interrupted one. */
typedef enum _KTRACE_KIND {
    TraceNone,
    TraceWait,         /* A object, B thread, Detail KWAIT_REASON */
    TraceWake,         /* A thread, B object (the first one of the wait), Detail the wait's status, 24 bits */
    TraceSwitch,       /* A old thread, B new thread, Detail the old one's KTHREAD_STATE */
    TraceInterrupt,    /* A vector (IRQL is A >> 4), B instruction, Detail the IRQL before */
    TraceInterruptEnd, /* the same: back to that IRQL and that instruction */
    TraceDpc,          /* A DPC, B routine */
    TraceDpcEnd,       /* A DPC (perhaps freed), B routine */
    TraceIpi,          /* A vector, B number of the CPU that it is sent to, Caller */
    TracePageFault,    /* A address, B instruction, Detail error code | IRQL << 8 */
    TraceTrim,         /* A page, B its PTE before */
    TracePageIn,       /* A page, B page-file slot, Detail: 0 the read starts, 1 it has ended */
    TracePoolAllocate, /* A block, Bytes, Tag, Detail 1: paged, Caller */
    TracePoolFree,     /* A block, Bytes, Tag, Detail 1: paged, Caller */
    TraceBugCheck,     /* A code, B first parameter, Caller where */
    TraceRaise,        /* checked: Detail old IRQL | new IRQL << 8, Caller */
    TraceLower,        /* checked: the same; written before the level falls */
    TraceAcquire,      /* checked: A lock, B thread, Detail IRQL, Caller */
    TraceContend,      /* checked: A lock, B thread, Detail IRQL, Caller: it waits */
    TraceRelease,      /* checked: A lock, B thread, Detail IRQL, Caller */
    TraceKinds
} KTRACE_KIND;

typedef struct _KTRACE_EVENT {
    ULONG64 Tsc; /* 0: never written */
    ULONG64 A;
    union {
        ULONG64 B;
        struct {
            ULONG Bytes, Tag; /* pool */
        };
    };
    union {
        struct {
            KTRACE_KIND Kind : 8;
            ULONG Detail : 24;
        };
        ULONG KindAndDetail;
    };
    ULONG Caller; /* lower half of an address whose upper half is all ones; 0: not recorded */
} KTRACE_EVENT, *PKTRACE_EVENT;
C_ASSERT(sizeof(KTRACE_EVENT) == 1 << KTRACE_SHIFT);

/* Boot CPU, interrupts masked, when the pool works: sizes the rings by RAM and CPUs, and gives CPU 0 its own. Until
 * then CPU 0 has a ring of one event. */
VOID KdInitializeTrace(ULONG Processors);
VOID KdInitializeTraceRing(PKPRCB Prcb); /* the PRCB is zeroed: that ring of one event */
/* A ring for a CPU that does not run yet; FALSE: no memory. KdDeleteTraceRing: it never will. <= DISPATCH_LEVEL. */
BOOLEAN KdCreateTraceRing(PKPRCB Prcb);
VOID KdDeleteTraceRing(PKPRCB Prcb);

/* The event with this number (0, 1, ...) of a CPU's; NULL: no longer there, not yet there, or not whole. Any IRQL. */
const KTRACE_EVENT *KdFindTraceEvent(const KPRCB *Prcb, ULONG64 Index);

/* The three steps of adding an event; between the first and the last the caller cannot move to another CPU: at
 * DISPATCH_LEVEL or above, or with IF = 0. First a place in the ring. */
static FORCEINLINE PKTRACE_EVENT KdBeginTrace(VOID) {
    ULONG64 Event = 1 << KTRACE_SHIFT;
    __asm__ volatile("xadd %0, %%gs:%c1\n\t"
                     "and %%gs:%c2, %k0\n\t"
                     "add %%gs:%c3, %0"
                     : "+r"(Event)
                     : "i"(offsetof(KPCR, Prcb.TraceCursor)), "i"(offsetof(KPCR, Prcb.TraceMask)),
                       "i"(offsetof(KPCR, Prcb.TraceRing))
                     : "memory", "cc");
    return (PKTRACE_EVENT)Event;
}

/* Then the event. */
static FORCEINLINE VOID KdFillTrace(PKTRACE_EVENT Event, KTRACE_KIND Kind, ULONG Detail, ULONG64 A, ULONG64 Caller) {
    Event->A = A;
    Event->KindAndDetail = Kind | Detail << 8;
    Event->Caller = (ULONG)Caller;
}

/* Then the time, which makes the event whole: a barrier for the compiler, and x86 keeps stores in order. (The halves in
 * registers of 64 bits: an instruction less than __rdtsc.) */
static FORCEINLINE VOID KdEndTrace(PKTRACE_EVENT Event) {
    ULONG64 Low, High;
    __asm__ volatile("rdtsc" : "=a"(Low), "=d"(High) : : "memory");
    *(volatile ULONG64 *)&Event->Tsc = High << 32 | Low;
}

static FORCEINLINE VOID KdTrace(KTRACE_KIND Kind, ULONG Detail, ULONG64 A, ULONG64 B, ULONG64 Caller) {
    PKTRACE_EVENT Event = KdBeginTrace();
    KdFillTrace(Event, Kind, Detail, A, Caller);
    Event->B = B;
    KdEndTrace(Event);
}

/* A block of pool. */
static FORCEINLINE VOID KdTracePool(KTRACE_KIND Kind, BOOLEAN IsPaged, PVOID Block, SIZE_T Bytes, ULONG Tag,
                                    PVOID Caller) {
    PKTRACE_EVENT Event = KdBeginTrace();
    KdFillTrace(Event, Kind, IsPaged, (ULONG64)Block, (ULONG64)Caller);
    Event->Bytes = (ULONG)Bytes;
    Event->Tag = Tag;
    KdEndTrace(Event);
}

/* The same at any IRQL, which is given: below DISPATCH_LEVEL a thread may be moved. */
static FORCEINLINE VOID KdTraceAt(KIRQL Irql, KTRACE_KIND Kind, ULONG Detail, ULONG64 A, ULONG64 B, ULONG64 Caller) {
    if (Irql < DISPATCH_LEVEL) {
        KiSetIrql(DISPATCH_LEVEL);
    }
    KdTrace(Kind, Detail, A, B, Caller);
    if (Irql < DISPATCH_LEVEL) {
        KiSetIrql(Irql);
    }
}
VOID KdTracePoolAt(KIRQL Irql, KTRACE_KIND Kind, BOOLEAN IsPaged, PVOID Block, SIZE_T Bytes, ULONG Tag, PVOID Caller);

/* A change of IRQL goes to the trace of the checked build (ke/checkedlock.c); CR8 is the higher of the two. */
VOID KiTraceIrql(ULONG OldIrql, ULONG NewIrql, PVOID Caller);
#define KD_TRACE_IRQL(OldIrql, NewIrql) (DBG ? KiTraceIrql(OldIrql, NewIrql, _ReturnAddress()) : (void)0)

#endif

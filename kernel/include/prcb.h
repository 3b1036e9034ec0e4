/* prcb.h: the control block of a CPU, and the reads of its own GS and CR8. */
#ifndef _PRCB_H_
#define _PRCB_H_

#include <thread.h>
#include <trapframe.h>

#define MAXIMUM_PROCESSORS 64

/* A function that looks at shared memory without its lock, on purpose, at each of many places: BUILD=race tells no race
 * of it. One place is marked by itself: ReadNoFence and its kin. */
#define KE_UNLOCKED __attribute__((no_sanitize("thread")))

/* One spin lock held by this CPU (checked build): enough to name holder, lock and call. */
#define MAXIMUM_HELD_LOCKS 16
typedef struct _KHELD_LOCK {
    PKSPIN_LOCK Lock;
    struct _KTHREAD *Thread;
    PVOID Caller; /* return address of the acquire */
    ULONG Rank;
    KIRQL Irql; /* at which it was taken: an interrupt's locks are ranked among themselves */
} KHELD_LOCK;

/* One queue of deferred procedure calls; one per CPU. */
typedef struct _KDPC_DATA {
    LIST_ENTRY DpcListHead;
    KSPIN_LOCK DpcLock;
    volatile LONG DpcQueueDepth;
    ULONG DpcCount;
    PKDEFERRED_ROUTINE volatile ActiveRoutine; /* of the DPC that was taken last and runs; NULL: none does */
} KDPC_DATA;

#define NUMBERED_LOCKS 16 /* LockQueueMaximumLock */
#define KTRACE_SHIFT 5    /* log2 of the bytes of an event of the trace */

/* Per-CPU control block. gs:[0x20] is its address, gs:[0x188] the current thread, as on Windows x64. */
typedef struct _KPRCB {
    ULONG64 MxCsr; /* NT's first field, which keeps CurrentThread at gs:[0x188]; floating point is not used here */
    PKTHREAD CurrentThread;       /* +8: gs:[0x188] */
    PKTHREAD volatile NextThread; /* chosen to run next; guarded by the dispatcher lock */
    PKTHREAD IdleThread;
    ULONG Number;
    ULONG ApicId;
    volatile BOOLEAN DpcRoutineActive;
    volatile BOOLEAN QuantumEnd;
    volatile BOOLEAN DpcInterruptRequested;
    volatile BOOLEAN IsFrozen; /* stopped by the bugcheck's NMI */
    ULONG64 DpcStack;          /* top of the DPC stack */
    KDPC_DATA DpcData;
    KDPC_DATA ThreadedDpcData;             /* those that a thread of this CPU runs */
    KEVENT ThreadedDpcEvent;               /* wakes that thread */
    volatile BOOLEAN ThreadedDpcRequested; /* it is to be woken */
    PKTHREAD volatile ThreadedDpcThread;   /* NULL: there is none yet */
    volatile LONG64 InterruptCount;
    volatile ULONG64 ClockTicks;
    ULONG64 KernelTicks, DpcTicks, IdleTicks;
    ULONG DpcWatchdogTicks; /* ticks at DISPATCH_LEVEL or above without a break; a thread switch is one */
    ULONG DpcRoutineTicks;  /* of these, the ones in the DPC or service routine that runs now */
    ULONG ServiceDepth;     /* interrupt service routines in progress */
    ULONG NeighbourSilence; /* our ticks since the next CPU's count last moved */
    ULONG64 NeighbourTicks;
    ULONG ReadySummary; /* bit n: ReadyListHead[n] is not empty */
    LIST_ENTRY ReadyListHead[MAXIMUM_PRIORITY];
    volatile ULONG IpiRequest; /* the work for the IPI at 0xE1 */
    volatile ULONG64 JitterState;
    ULONG HeldLockCount;
    KHELD_LOCK HeldLock[MAXIMUM_HELD_LOCKS];
    PKTRAP_FRAME FreezeFrame; /* where the freeze found this CPU */
    KIRQL DebuggerSavedIRQL;
    PKTRAP_FRAME InterruptFrame;                /* innermost interrupt in progress, for watchdogs */
    ULONG64 volatile SpinningWord;              /* its first look into that lock */
    PKSPIN_LOCK volatile SpinningOn;            /* the spin lock that this CPU waits for, or NULL */
    KSPIN_LOCK_QUEUE LockQueue[NUMBERED_LOCKS]; /* numbered queued spin locks (ke/queuedlock.c) */
    struct _KTRACE_EVENT *TraceRing;            /* the event trace (trace.h) */
    ULONG TraceMask;                            /* bytes of the ring - 1 */
    union {
        volatile ULONG64 TraceCursor; /* bytes written since the start; each event adds 1 << KTRACE_SHIFT */
        struct {
            ULONG64 TraceOffset : KTRACE_SHIFT;     /* 0 */
            ULONG64 TraceCount : 64 - KTRACE_SHIFT; /* events since the start; the next one's place: modulo the ring */
        };
    };
} KPRCB, *PKPRCB;

/* The processor control region, to which GS points. */
typedef struct _KPCR {
    PVOID Reserved0[3];
    struct _KPCR *Self; /* +0x18 */
    PKPRCB CurrentPrcb; /* +0x20 */
    PVOID GdtBase, IdtBase, TssBase;
    ULONG64 IstStack[3]; /* tops: #DF, NMI, #MC */
    UCHAR Pad[0x180 - 0x58];
    KPRCB Prcb; /* +0x180 */
} KPCR, *PKPCR;

C_ASSERT(offsetof(KPCR, Self) == 0x18);
C_ASSERT(offsetof(KPCR, CurrentPrcb) == 0x20);
C_ASSERT(offsetof(KPCR, Prcb) == 0x180);
C_ASSERT(offsetof(KPRCB, CurrentThread) == 8);

static FORCEINLINE PKPCR KeGetPcr(VOID) {
    PKPCR Pcr;
    __asm__ volatile("mov %%gs:0x18, %0" : "=r"(Pcr));
    return Pcr;
}

/* Stable only while the caller cannot move to another CPU: at DISPATCH_LEVEL or above, or with IF = 0. */
static FORCEINLINE PKPRCB KeGetCurrentPrcb(VOID) {
    PKPRCB Prcb;
    __asm__ volatile("mov %%gs:0x20, %0" : "=r"(Prcb));
    return Prcb;
}

/* The kernel's own inlines of the two exported calls. */
static FORCEINLINE KIRQL KiCurrentIrql(VOID) {
    return (KIRQL)__readcr8();
}

/* CR8 := NewIrql, and nothing else: no check of the direction, no note in the trace. */
static FORCEINLINE VOID KiSetIrql(ULONG64 NewIrql) {
    __writecr8(NewIrql);
}

static FORCEINLINE PKTHREAD KiCurrentThread(VOID) {
    PKTHREAD Thread;
    __asm__ volatile("mov %%gs:0x188, %0" : "=r"(Thread));
    return Thread;
}

extern PKPRCB KiProcessorBlock[MAXIMUM_PROCESSORS];
extern volatile ULONG KeNumberProcessors; /* CPUs that came up */
extern volatile KAFFINITY KeActiveProcessors;

#endif

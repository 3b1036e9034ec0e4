/* ke.h: the kernel proper (ke/) for other components: CPUs, threads, DPCs, traps, dying. */
#ifndef _KE_H_
#define _KE_H_

#include <ntifs.h>

#define MAXIMUM_PROCESSORS 64
#define KERNEL_STACK_SIZE 0x6000 /* 24 KiB, as on Windows x64, plus a guard page below */
#define DPC_STACK_SIZE 0x6000
#define IST_STACK_SIZE 0x3000

/* DISPATCHER_HEADER.Type */
enum {
    EventNotificationObject = 0,
    EventSynchronizationObject = 1,
    MutantObject = 2,
    ProcessObject = 3,
    QueueObject = 4,
    SemaphoreObject = 5,
    ThreadObject = 6,
    TimerNotificationObject = 8,
    TimerSynchronizationObject = 9,
    ApcObject = 0x12,
    DpcObject = 0x13,
    ThreadedDpcObject = 0x18
};

typedef enum _KTHREAD_STATE { Initialized, Ready, Running, Standby, Terminated, Waiting, Transition } KTHREAD_STATE;

/* The frame that trap.asm leaves on the interrupted stack, lowest address first. Rip..SegSs are the CPU's own. */
typedef struct _KTRAP_FRAME {
    ULONG64 LinkRbp; /* with LinkRip a stack frame: .trap knows a KTRAP_FRAME by it */
    ULONG64 LinkRip;
    ULONG64 PreviousIrql; /* CR8 at the trap */
    ULONG64 FaultAddress; /* CR2 for #PF, otherwise 0 */
    ULONG64 R15, R14, R13, R12, R11, R10, R9, R8;
    ULONG64 Rdi, Rsi, Rbp, Rbx, Rdx, Rcx, Rax;
    ULONG64 Vector;
    ULONG64 ErrorCode;
    ULONG64 Rip, SegCs, EFlags, Rsp, SegSs;
} KTRAP_FRAME, *PKTRAP_FRAME;

/* One spin lock held by this CPU (checked build): enough to name holder, lock and call. */
#define MAXIMUM_HELD_LOCKS 16
typedef struct _KHELD_LOCK {
    PKSPIN_LOCK Lock;
    struct _KTHREAD *Thread;
    PVOID Caller; /* return address of the acquire */
    ULONG Rank;
    KIRQL Irql; /* at which it was taken: an interrupt's locks are ranked among themselves */
} KHELD_LOCK;

/* ---- Locks that threads sleep on: their holders and waiters (ke/autoboost.c, ke/lockwait.c) ---- */
typedef enum _KLOCK_KIND {
    LockNone,
    LockFastMutex,
    LockGuardedMutex,
    LockResourceShared,
    LockResourceExclusive,
    LockPushShared,
    LockPushExclusive,
    LockRundown
} KLOCK_KIND;

/* One fast mutex, guarded mutex or push lock that a thread holds; fastmutex.c writes the first itself. */
#define MAXIMUM_LOCK_ENTRIES 6
typedef struct _KLOCK_ENTRY {
    PVOID Lock; /* NULL: the entry is free */
    PVOID Reserved;
} KLOCK_ENTRY, *PKLOCK_ENTRY;

typedef struct _KTHREAD {
    DISPATCHER_HEADER Header; /* signalled when the thread has ended */
    ULONG64 KernelStack;      /* RSP while it does not run; switch.asm */
    ULONG64 StackBase;        /* highest address + 1 */
    ULONG64 StackLimit;       /* lowest usable address; a guard page lies below */
    volatile UCHAR State;     /* KTHREAD_STATE */
    SCHAR Priority;
    SCHAR BasePriority;
    SCHAR PriorityDecrement;
    UCHAR WaitReason;
    UCHAR WaitMode;
    KIRQL WaitIrql;
    BOOLEAN Preempted; /* it still has quantum: back to the head of its ready queue */
    BOOLEAN WaitNext;  /* it holds the dispatcher lock for the wait that must follow (Wait = TRUE) */
    LONG Quantum;      /* clock ticks left */
    ULONG Processor;   /* CPU that it runs on, or ran on last */
    ULONG IdealProcessor;
    KAFFINITY Affinity;        /* CPUs that it may run on */
    KAFFINITY UserAffinity;    /* for KeRevertToUserAffinityThread to go back to */
    LIST_ENTRY QueueListEntry; /* in a ready queue; when terminated, in the reaper's list */
    NTSTATUS WaitStatus;
    PKWAIT_BLOCK WaitBlockList; /* NULL when it does not wait */
    KWAIT_BLOCK WaitBlock[THREAD_WAIT_OBJECTS + 1];
    KTIMER Timer;     /* for time-outs of waits */
    ULONG64 WaitTime; /* tick when the wait began */
    ULONG ContextSwitches;
    LIST_ENTRY MutantListHead; /* mutexes that it owns */
    union {
        struct {
            SHORT KernelApcDisable;
            SHORT SpecialApcDisable;
        };
        ULONG CombinedApcDisable;
    };
    LIST_ENTRY ApcListHead; /* KAPCs; dispatcher lock */
    volatile BOOLEAN ApcPending;
    BOOLEAN UserApcPending;     /* a user APC has ended a wait, and there is no user mode to run it in */
    LIST_ENTRY UserApcListHead; /* KAPCs; dispatcher lock */
    BOOLEAN Alertable;          /* the wait that it is in may be ended by an alert */
    BOOLEAN Alerted[MaximumMode];
    UCHAR ApcStateIndex;         /* 1: attached to another process than its own */
    PKPROCESS Process;           /* its own */
    PKPROCESS AttachedProcess;   /* ApcStateIndex = 1: the one it is attached to */
    volatile ULONG KernelTime;   /* clock ticks that found it running */
    BOOLEAN KernelApcInProgress; /* a NormalRoutine runs */
    BOOLEAN IsSystemAffinity;
    LIST_ENTRY ThreadListEntry; /* KiThreadList */
    KLOCK_ENTRY LockEntries[MAXIMUM_LOCK_ENTRIES];
    ULONG UntrackedLocks;        /* acquired while all entries were in use */
    volatile LONG IoBoostCount;  /* resources that it owns exclusively and others wait for (0x13C) */
    PVOID volatile BlockingLock; /* the lock that it waits for, without limit; NULL: none */
    volatile UCHAR BlockingKind; /* KLOCK_KIND */
    ULONG64 BlockingTime;        /* tick when it began to wait for it, however many waits that takes */
    LIST_ENTRY ObjectListEntry;  /* ke/autoboost.c: every thread object that is not deleted yet */
    PKSTART_ROUTINE StartRoutine;
    PVOID StartContext;
    ULONG64 Guard; /* RSP of the innermost KiCallGuarded; 0: none */
    CHAR Name[24];
} KTHREAD;

typedef struct _ETHREAD {
    KTHREAD Tcb;
    CLIENT_ID Cid;
    NTSTATUS ExitStatus;
    BOOLEAN ActiveExWorker;
    WORK_QUEUE_ITEM *WorkItem; /* the work item that a worker thread runs, for exit checks */
    LIST_ENTRY IrpList;        /* requests that end in this thread (io/threadirp.c) */
    ULONG64 RequestCount;      /* how many there have been */
} ETHREAD;

/* One queue of deferred procedure calls; one per CPU. */
typedef struct _KDPC_DATA {
    LIST_ENTRY DpcListHead;
    KSPIN_LOCK DpcLock;
    volatile LONG DpcQueueDepth;
    ULONG DpcCount;
    PKDEFERRED_ROUTINE volatile ActiveRoutine; /* of the DPC that was taken last and runs; NULL: none does */
} KDPC_DATA;

#define KTRACE_SHIFT 5 /* log2 of the bytes of an event of the trace */

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
    PKTRAP_FRAME InterruptFrame;                      /* innermost interrupt in progress, for watchdogs */
    ULONG64 volatile SpinningWord;                    /* what it found in that lock at first */
    PKSPIN_LOCK volatile SpinningOn;                  /* the spin lock that this CPU waits for, or NULL */
    KSPIN_LOCK_QUEUE LockQueue[LockQueueMaximumLock]; /* numbered queued spin locks (ke/queuedlock.c) */
    struct _KTRACE_EVENT *TraceRing;                  /* the event trace (trace.h) */
    ULONG TraceMask;                                  /* bytes of the ring - 1 */
    union {
        volatile ULONG64 TraceCursor; /* bytes written since the start; each event adds 1 << KTRACE_SHIFT */
        struct {
            ULONG64 TraceOffset : KTRACE_SHIFT;     /* 0 */
            ULONG64 TraceCount : 64 - KTRACE_SHIFT; /* events since the start; the next one's place: modulo the ring */
        };
    };
} KPRCB, *PKPRCB;

/* The processor control region: what GS points to. */
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
extern LIST_ENTRY KiThreadList; /* every thread; guarded by KiDispatcherLock */
extern KSPIN_LOCK KiDispatcherLock;

/* ---- Start-up (init/startup.c) ---- */
DECLSPEC_NORETURN VOID KiSystemStartup(ULONG Magic,
                                       ULONG64 Info); /* entry.asm jumps here on the boot CPU, IF = 0, CR8 = 0 */
VOID KeInitializeProcessor(PKPCR Pcr, ULONG Number);  /* PRCB, queues, idle thread = the caller */
VOID KeActivateProcessor(VOID);                       /* the CPU can take interrupts and threads now */
DECLSPEC_NORETURN VOID KiIdleLoop(VOID);

/* What the boot loader has said (bootinfo.h). */
struct _BOOT_INFO;
extern struct _BOOT_INFO *KeBootInfo;
/* Command-line options ("name=value" or "name"). Any IRQL. */
BOOLEAN KeGetBootOption(PCSTR Name, PCHAR Value, SIZE_T ValueBytes);
ULONG64 KeGetBootOptionNumber(PCSTR Name, ULONG64 Default);
extern ULONG64 KeSeed; /* seed= of the command line: 0 is not seeded */

/* ---- Asynchronous procedure calls: exported, and declared in no header for drivers, as in the WDK: a driver that uses
 * them brings declarations of its own, with an enumeration of this name. ---- */
typedef enum _KAPC_ENVIRONMENT {
    OriginalApcEnvironment,
    AttachedApcEnvironment,
    CurrentApcEnvironment
} KAPC_ENVIRONMENT;

VOID KeInitializeApc(PRKAPC Apc, PKTHREAD Thread, KAPC_ENVIRONMENT Environment, PKKERNEL_ROUTINE KernelRoutine,
                     PKRUNDOWN_ROUTINE RundownRoutine, PKNORMAL_ROUTINE NormalRoutine, KPROCESSOR_MODE Mode,
                     PVOID Context);
BOOLEAN KeInsertQueueApc(PRKAPC Apc, PVOID SystemArgument1, PVOID SystemArgument2, KPRIORITY Increment);
BOOLEAN KeRemoveQueueApc(PRKAPC Apc);

/* ---- Traps (arch calls these) ---- */
VOID KiDispatchInterrupt(VOID); /* vector 0x2F: drain DPCs, then switch threads. At DISPATCH_LEVEL, IF = 1. */
VOID KiDeliverApc(VOID);        /* vector 0x1F. At APC_LEVEL, IF = 1. */
VOID KeUpdateSystemTime(PKTRAP_FRAME Frame); /* clock, each CPU, at CLOCK_LEVEL */
VOID KiIpiInterrupt(PKTRAP_FRAME Frame);     /* vector 0xE1, at IPI_LEVEL */
VOID KiTrap(PKTRAP_FRAME Frame);             /* exceptions 0..31, from trap.asm: arch/x86_64/trap.c */
BOOLEAN KiFixUpFault(PKTRAP_FRAME Frame);    /* arch/x86_64/trap.c */
VOID KiFreezeInterrupt(PKTRAP_FRAME Frame);  /* NMI: returns only if it was no freeze request */

/* ---- Threads (KTHREAD level) ---- */
VOID KeInitializeThread(PKTHREAD Thread, ULONG64 StackBase, ULONG64 StackLimit, PKSTART_ROUTINE Start, PVOID Context,
                        KPRIORITY Priority);
VOID KeReadyThread(PKTHREAD Thread);            /* <= DISPATCH_LEVEL */
DECLSPEC_NORETURN VOID KeTerminateThread(VOID); /* the current thread; its object is handed to the reaper */
PKTHREAD
KeWaitForTerminatedThread(VOID); /* the reaper's: nothing runs on the thread's stack any more. PASSIVE, waits */
/* A mutex that does not disable APCs and can be abandoned by its owner's end. <= DISPATCH_LEVEL */
VOID KeInitializeMutant(PRKMUTANT Mutant, BOOLEAN IsOwnedByCaller);
LONG KeReleaseMutant(PRKMUTANT Mutant, KPRIORITY Increment, BOOLEAN Abandoned, BOOLEAN Wait);
VOID KeYieldThread(VOID); /* to a ready thread of the same or a higher priority; <= APC_LEVEL */
BOOLEAN KeIsDpcActive(VOID);

/* ---- TLB and IPIs ---- */
/* Invalidates Count pages from Va on all CPUs and returns when none can use the old translation. <= IPI_LEVEL - 1, IF = 1. */
VOID KeFlushTb(PVOID Va, ULONG Count);

/* ---- Lock ranks (checked build): each kernel spin lock is declared with its rank, and ranks only grow while held ---- */
enum {
    RANK_NONE = 0,
    RANK_IO = 20,
    RANK_BLOCK = 25,
    RANK_PFN = 40,
    RANK_POOL = 50,
    RANK_OBJECT = 60,
    RANK_RESOURCE = 62,
    RANK_LOADER = 65,
    RANK_DISPATCHER = 70,
    RANK_PRINT = 90
};
typedef struct _KLOCK_DECLARATION {
    PKSPIN_LOCK Lock;
    PCSTR Name;
    PCSTR Guards;
    ULONG Rank;
} KLOCK_DECLARATION;
/* KE_DECLARE_LOCK(KiDispatcherLock, RANK_DISPATCHER, "thread states, wait lists, ready queues"); defines the lock. */
#define KE_DECLARE_LOCK(Name_, Rank_, Guards_)        \
    KSPIN_LOCK Name_;                                 \
    static const KLOCK_DECLARATION Name_##Declaration \
        __attribute__((used, section(".lockdecl"), aligned(8))) = {&Name_, #Name_, Guards_, Rank_}
extern const KLOCK_DECLARATION KiLockDeclarations[], KiLockDeclarationsEnd[]; /* kernel.ld */

/* ---- Lock bookkeeping of the checked build (ke/lockcheck.c); ke/checkedlock.c calls the first three ---- */
VOID KiLockAcquired(PKSPIN_LOCK Lock, PVOID Caller);  /* IRQL >= DISPATCH_LEVEL, the lock is held */
VOID KiLockReleasing(PKSPIN_LOCK Lock, PVOID Caller); /* still held; 0x10 when this CPU does not hold it */
VOID KiLockContended(PKSPIN_LOCK Lock, PVOID Caller); /* about to wait: 0x0F when this CPU itself holds it */
/* The CPU that holds a lock, its entry for it, and the lock's declaration. Any IRQL, no locks: a snapshot. */
const KHELD_LOCK *KeFindLockHolder(PKSPIN_LOCK Lock, ULONG *Processor);
const KLOCK_DECLARATION *KeFindLockDeclaration(PKSPIN_LOCK Lock); /* NULL: no lock of the kernel's own */
/* Textbook lock (spinlock.asm): a byte, a bare xchg loop, no IRQL. For the walk, GDB and a test. */
VOID KiAcquireTextbookLock(volatile UCHAR *Lock);
VOID KiReleaseTextbookLock(volatile UCHAR *Lock);

/* ---- Locks that threads sleep on ---- */
/* A lock's slow path calls these before and after its wait; the wait below may have a time-out, the lock has none. For
 * the current thread; <= APC_LEVEL. */
VOID KeBeginLockWait(PVOID Lock, KLOCK_KIND Kind);
VOID KeEndLockWait(VOID);
/* Waits for Object on behalf of a lock, with the bookkeeping around it. STATUS_SUCCESS or STATUS_TIMEOUT. <= APC_LEVEL */
NTSTATUS KeWaitForLock(PVOID Lock, KLOCK_KIND Kind, PVOID Object, KWAIT_REASON Reason, PLARGE_INTEGER Timeout);
BOOLEAN KeBoostLockOwner(PKTHREAD Owner, KPRIORITY Priority,
                         LONG IoBoost); /* FALSE: no such thread. <= DISPATCH_LEVEL */

/* ---- AutoBoost: the locks that a thread holds (ke/autoboost.c). In the owner's thread, <= APC_LEVEL ---- */
VOID KeAbAcquired(PVOID Lock);                                 /* enters it */
VOID KeAbReleased(PVOID Lock);                                 /* takes it out; 0x162 if it is not there */
DECLSPEC_NORETURN VOID KeAbRefuseIrql(PVOID Lock, ULONG Irql); /* 0x192 */

/* ---- Clock and watchdogs: 0x133 and 0x101 come out of KeUpdateSystemTime ---- */
extern volatile ULONG64 KiInterruptTime; /* 100 ns units since boot */
extern volatile ULONG64 KiTickCount;
/* The number of set timers that have themselves or their DPC in pages of one hash; 0: these pages have none. */
#define KI_TIMER_PAGES 1024
extern volatile USHORT KiTimerPages[KI_TIMER_PAGES];
static FORCEINLINE BOOLEAN KiMayHoldTimer(const void *Address) {
    return KiTimerPages[(ULONG64)Address / PAGE_SIZE % KI_TIMER_PAGES] != 0;
}
/* Memory of pool or of an image goes: 0xC7 if a set timer lies in it (0), its DPC (1), or the DPC's routine (2).
 * <= DISPATCH_LEVEL. */
extern VOID (*KeTimerCheckHook)(PVOID Start, SIZE_T Bytes);
static FORCEINLINE VOID KeCheckForTimer(PVOID Start, SIZE_T Bytes) {
    if (KeTimerCheckHook != NULL) {
        KeTimerCheckHook(Start, Bytes);
    }
}
extern volatile ULONG64 KiNextTimerDue; /* ke/timer.c: interrupt time of the earliest timer, ~0: none */
extern KDPC KiTimerExpireDpc;           /* ke/timer.c */
extern ULONG64 KiUptimeSeconds;         /* that had passed at the start: uptime= of the command line, else 0 */
extern ULONG64 KiBootTime;              /* system time at interrupt time 0 */
VOID KiInitializeClock(VOID);
extern VOID (*KiClockHook)(PKTRAP_FRAME Frame); /* each tick of each CPU, at CLOCK_LEVEL; NULL: no listener */
VOID KiDispatchThreadSwitch(VOID); /* ke/scheduler.c: quantum end and NextThread; at DISPATCH_LEVEL, IF = 1 */

/* ---- Dying (ke/bugcheck.c; bugcheck.h) ---- */
DECLSPEC_NORETURN VOID KiBugCheckFromTrap(ULONG Code, ULONG_PTR P1, ULONG_PTR P2, ULONG_PTR P3, ULONG_PTR P4,
                                          PKTRAP_FRAME Frame);
/* An exception, which no code handles: the end (ke/exception.c). Any IRQL. Count: details that are given. */
DECLSPEC_NORETURN VOID KiDispatchException(PKTRAP_FRAME Frame, NTSTATUS Status, ULONG64 Address, ULONG Count,
                                           ULONG_PTR Detail0, ULONG_PTR Detail1);
/* The same, raised by a call: Address is where, StackFrame the frame of the function that was called to raise it. Inside
 * KiCallGuarded that call ends with Status instead. */
DECLSPEC_NORETURN VOID KiRaiseException(NTSTATUS Status, ULONG64 Address, const ULONG64 *StackFrame);
/* A copy from or to a caller's memory where NT's own code has __try: STATUS_ACCESS_VIOLATION for an address where no
 * memory can be (a kernel address without memory stops the machine, there as here). The caller's IRQL. */
NTSTATUS KiCopyGuarded(PVOID To, const void *From, SIZE_T Bytes);
VOID KiInitializeStackCookie(VOID); /* from a function that never returns, before any other CPU or thread runs */
extern ULONG_PTR KiBugCheckData[5]; /* the code as rewritten, and four parameters */

/* Ends the machine with the verdict line on COM2 and the exit code for QEMU (contract: docs/architecture). */
DECLSPEC_NORETURN VOID KeEndMachine(PCSTR End, BOOLEAN IsExpected);

#endif

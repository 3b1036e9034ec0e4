/* thread.h: the thread: its control block, and the calls that start, end and reap one. */
#ifndef _THREAD_H_
#define _THREAD_H_

#include <wdmobject.h>

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
    struct _WORK_QUEUE_ITEM *WorkItem; /* the work item that a worker thread runs, for exit checks */
    LIST_ENTRY IrpList;                /* requests that end in this thread (io/threadirp.c) */
    ULONG64 RequestCount;              /* how many there have been */
} ETHREAD;

extern LIST_ENTRY KiThreadList; /* every thread; guarded by KiDispatcherLock */

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

#endif

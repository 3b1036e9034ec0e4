/* inspect.h: questions of an observer such as the judge: objects, queued work, owners of locks.
 *
 * The answers are in one file of each component, inspect.c; no mechanism asks. */
#ifndef _INSPECT_H_
#define _INSPECT_H_

#include <ke.h>

/* ---- ke/inspect.c ---- */
/* Also of ended threads; NULL: the first, and behind the last. Dispatcher lock held. */
PKTHREAD KeNextThreadObject(PKTHREAD Thread);
/* In the order of due times; NULL: the first, and behind the last. Dispatcher lock held. */
PKTIMER KeNextTimer(PKTIMER Timer);
ULONG KeCountDpcs(BOOLEAN (*IsWanted)(PKDEFERRED_ROUTINE Routine)); /* IsWanted runs at HIGH_LEVEL; any IRQL */
PKDEFERRED_ROUTINE KeQueryThreadedDpc(const KTHREAD *Thread); /* that Thread runs; NULL: none. Dispatcher lock held */

/* ---- ex/inspect.c ---- */
ULONG ExCountWorkItems(VOID); /* that wait for a worker thread; <= DISPATCH_LEVEL */
/* The first queued item that lies in the range, or whose routine does; NULL: none. <= DISPATCH_LEVEL. */
PWORK_QUEUE_ITEM ExFindWorkItemInRange(ULONG64 Start, ULONG64 End);
PKTHREAD ExQueryResourceOwner(PERESOURCE Resource); /* a thread that may be gone, or NULL; any IRQL, a snapshot */
/* A thread that holds Lock; NULL: none, or unknown. Dispatcher lock held, or all other CPUs stopped. */
PKTHREAD ExQueryLockOwner(PVOID Lock, KLOCK_KIND Kind);
PCSTR ExLockKindName(KLOCK_KIND Kind); /* "fast mutex", "push lock (shared)", ... Any IRQL */

/* ---- io/inspect.c ---- */
/* A request that has not come back, for an explanation. */
typedef struct _IO_PENDING_IRP {
    PIRP Irp;
    BOOLEAN IsSent;        /* and not completed */
    PDEVICE_OBJECT Device; /* whose driver has it; NULL though it is sent: the device is gone */
    UCHAR MajorFunction;
    BOOLEAN IsCompleting; /* it waits for an APC of its thread */
    BOOLEAN IsCancelled;
    BOOLEAN IsNobodys; /* it ends in no thread: its sender's completion routine gets it */
    ULONG64 CancelRoutine;
} IO_PENDING_IRP, *PIO_PENDING_IRP;
/* The Index-th request of a thread that exists; with NULL, of all that have ended, and those of no thread. FALSE: there
 * are fewer. <= DISPATCH_LEVEL; a snapshot. */
BOOLEAN IoFindPendingIrp(PETHREAD Thread, ULONG Index, PIO_PENDING_IRP Pending);

#endif

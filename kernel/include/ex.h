/* ex.h: the executive: worker threads, and the common parts of locks. */
#ifndef _EX_H_
#define _EX_H_

#include <ke.h>

VOID ExInitializeWorkers(VOID); /* PASSIVE, first thread */
/* The first queued item that lies in the range, or whose routine does; NULL: none. <= DISPATCH_LEVEL. */
PWORK_QUEUE_ITEM ExFindWorkItemInRange(ULONG64 Start, ULONG64 End);
ULONG ExCountWorkItems(VOID); /* that wait for a worker thread; <= DISPATCH_LEVEL */

/* One queue for each type of work (work.c, workcheck.c). */
typedef struct _EX_WORK_QUEUE {
    PCSTR ThreadName;
    KPRIORITY Priority;
    LIST_ENTRY Items; /* guarded by ExpWorkQueueLock */
    KSEMAPHORE ItemCount;
    volatile LONG Workers;     /* threads */
    volatile LONG FreeWorkers; /* threads that wait for an item, or are about to */
} EX_WORK_QUEUE;
extern EX_WORK_QUEUE ExpWorkQueues[MaximumWorkQueue];
extern KSPIN_LOCK ExpWorkQueueLock;

/* ---- Locks: shared by their files ---- */
PKTHREAD ExQueryResourceOwner(PERESOURCE Resource); /* a thread that may be gone, or NULL; any IRQL, a snapshot */
extern LIST_ENTRY ExpSystemResourcesList;           /* every ERESOURCE; guarded by ExpResourceSpinLock */
extern KSPIN_LOCK ExpResourceSpinLock;

#endif

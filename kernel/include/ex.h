/* ex.h: the executive: worker threads, and the common parts of locks. */
#ifndef _EX_H_
#define _EX_H_

#include <ke.h>

VOID ExInitializeWorkers(VOID); /* PASSIVE, first thread */

/* One queue for each type of work (work.c, inspect.c). */
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
#define EX_OWNER_POINTER_BITS 3           /* tell an owner pointer of an ERESOURCE from a thread's address */
extern LIST_ENTRY ExpSystemResourcesList; /* every ERESOURCE; guarded by ExpResourceSpinLock */
extern KSPIN_LOCK ExpResourceSpinLock;

#endif

/* ps.h: threads as objects: creation, handles, deferred deletion. */
#ifndef _PS_H_
#define _PS_H_

#include <ke.h>

VOID PsInitializeSystem(VOID); /* PASSIVE, first thread: reaper, worker threads */
/* A named system thread without a handle. *Thread: the caller's reference, to be dropped; NULL: none is wanted. PASSIVE. */
NTSTATUS PsCreateNamedThread(PETHREAD *Thread, PCSTR Name, KPRIORITY Priority, PKSTART_ROUTINE Start, PVOID Context);

/* A process: an object without threads of its own to count, for there are but two. */
typedef struct _KPROCESS {
    DISPATCHER_HEADER Header; /* signalled when it has ended: never */
    HANDLE UniqueProcessId;
    NTSTATUS ExitStatus;
    LARGE_INTEGER CreateTime;
    CHAR ImageFileName[16];
} KPROCESS;
extern PEPROCESS PsIdleProcess;
PCHAR PsGetProcessImageFileName(PEPROCESS Process);

BOOLEAN PsIsIntegrityChecked(PVOID Routine); /* notify.c: does its image demand the check? Any IRQL */

#endif

/* ps.h: threads as objects: creation, handles, deferred deletion. */
#ifndef _PS_H_
#define _PS_H_

#include <ke.h>

VOID PsInitializeSystem(VOID); /* PASSIVE, first thread: reaper, worker threads */
/* A named system thread without a handle; the caller gets a reference that it must drop. PASSIVE. */
NTSTATUS PsCreateNamedThread(PETHREAD *Thread, PCSTR Name, KPRIORITY Priority, PKSTART_ROUTINE Start, PVOID Context);

#endif

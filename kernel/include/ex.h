/* ex.h: executive: pools' start-up is in mm.h; here worker threads. */
#ifndef _EX_H_
#define _EX_H_

#include <ke.h>

VOID ExInitializeWorkers(VOID); /* PASSIVE, first thread */
ULONG ExCountWorkItems(VOID);   /* that wait for a worker thread; <= DISPATCH_LEVEL */

#endif

/* irp.h: what the two halves of an IRP's life (irp.c, complete.c) share. */
#ifndef _IRP_H_
#define _IRP_H_

#include "iop.h"

#define TAG_IRP IOP_TAG('I', 'r', 'p', ' ')
#define IOP_MAXIMUM_STACK 32

/* The system's own, behind the stack locations. */
typedef struct _IOP_IRP_TAIL {
    WORK_QUEUE_ITEM WorkItem; /* for the last step of completion */
    CCHAR PriorityBoost;
} IOP_IRP_TAIL, *PIOP_IRP_TAIL;

PIOP_IRP_TAIL IopGetIrpTail(PIRP Irp); /* any IRQL */

#endif

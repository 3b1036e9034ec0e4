/* deadlock.h: the lock-order graph, drawn by deadlock.c and described by deadlockreport.c. */
#ifndef _DEADLOCK_H_
#define _DEADLOCK_H_

#include "vf.h"

#define VF_GATES 6
#define VF_PATH 32

/* A lock. */
typedef struct _VF_NODE {
    struct _VF_NODE *NextInBucket; /* or in the list of free ones */
    PVOID Lock;
    UCHAR Kind; /* VF_LOCK_KIND */
    BOOLEAN IsInitialized, HasExclusive, HasLostHold;
    ULONG Visit; /* by the last search that came here */
    struct _VF_EDGE *Edges;
    LIST_ENTRY Holds;
} VF_NODE;

/* An owner held From when it wanted To. */
typedef struct _VF_EDGE {
    struct _VF_EDGE *Next;
    VF_NODE *From, *To;
    ULONG_PTR Owner;
    ULONG GateCount;
    VF_NODE *Gate[VF_GATES]; /* the locks held besides, each time the edge was drawn */
    PVOID FromStack[VF_FRAMES], ToStack[VF_FRAMES];
} VF_EDGE;

/* An owner holds a lock. */
typedef struct _VF_HOLD {
    union {
        LIST_ENTRY NodeEntry;
        struct _VF_HOLD *NextFree;
    };
    LIST_ENTRY OwnerEntry;
    VF_NODE *Node;
    ULONG_PTR Owner; /* PKTHREAD, or PKPRCB | 1: a DPC on that CPU */
    UCHAR Mode;
    ULONG Count;
    PVOID Stack[VF_FRAMES]; /* of the first acquisition */
} VF_HOLD;

/* The finding: written once, by the CPU that stops the machine, while it has the database to itself. */
typedef struct _VF_DEADLOCK_STATE {
    ULONG Rule; /* 0: nothing */
    const VF_NODE *Node;
    const VF_HOLD *Hold; /* NULL: none */
    ULONG PathLength;
    VF_EDGE *Path[VF_PATH]; /* the circle: the edge drawn last, then the way back */
} VF_DEADLOCK_STATE;
extern VF_DEADLOCK_STATE VfDeadlock;

/* The database is not off. See deadlock.c. */
VOID VfLockReleasedFor(PVOID Lock, VF_LOCK_KIND Kind, ULONG_PTR Who);

#endif

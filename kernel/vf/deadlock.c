/* deadlock.c: the lock-order graph, which finds a possible deadlock when its last edge is drawn.
 *
 * Each lock is a node. A thread that holds A and wants B draws the edge A -> B, with the two stacks. If a path B -> ...
 * -> A exists already, some threads together could each hold one lock of the circle and want the next: 0xC4 (0x1001),
 * although no thread waits yet. Two things make a circle harmless: a gate, a lock under which two of its edges were
 * drawn, so that no two threads walk them at once; and a lock of it that was never taken exclusively.
 *
 *      thread 1: A, then B        A --> B          thread 2: B, then A        B --> A closes the circle
 *
 * An owner is a thread, or a CPU while it runs a DPC, which must not be taken for the thread that it interrupted. A
 * poll (Try..., a time-out) draws no edge, because it does not wait; a lock that it acquires is held all the same.
 *
 * Everything is kept in tables of fixed size, made at the start: a lock that finds no room is counted and not watched.
 * One lock guards all of it. It is taken at HIGH_LEVEL for some hundred instructions, under which nothing is called,
 * and is none of the kernel's ranked locks: a thunk may be called at any IRQL, also in an interrupt. */
#include "deadlock.h"
#include <ring.h>

#define BUCKETS 256 /* powers of two */
#define OWNERS 64
#define NODES 1024
#define EDGES 2048
#define HOLDS 512
#define MANY_PAGES BUCKETS
#define DEPTH 24 /* locks in a circle */

VF_DEADLOCK_STATE VfDeadlock;
static volatile UCHAR DatabaseLock;
static VF_NODE *Bucket[BUCKETS]; /* by the page of the lock, so that a range is found by its pages */
static LIST_ENTRY Owner[OWNERS]; /* of VF_HOLD, by owner */
static VF_NODE *FreeNode;
static VF_EDGE *FreeEdge;
static VF_HOLD *FreeHold;
static VF_NODE *AllNodes;
static ULONG Visit;

/* ---- The database ---- */

BOOLEAN VfDeadlockEnable(VOID) {
    SIZE_T Bytes = NODES * sizeof(VF_NODE) + EDGES * sizeof(VF_EDGE) + HOLDS * sizeof(VF_HOLD);
    VF_NODE *Nodes = MmAllocateMappedPages(RegionSystemPtes, Bytes);
    if (Nodes == NULL) {
        return FALSE;
    }
    VF_EDGE *Edges = (VF_EDGE *)(Nodes + NODES);
    VF_HOLD *Holds = (VF_HOLD *)(Edges + EDGES);
    for (ULONG i = 0; i < NODES; i++) {
        Nodes[i].NextInBucket = FreeNode;
        FreeNode = &Nodes[i];
    }
    for (ULONG i = 0; i < EDGES; i++) {
        Edges[i].Next = FreeEdge;
        FreeEdge = &Edges[i];
    }
    for (ULONG i = 0; i < HOLDS; i++) {
        Holds[i].NextFree = FreeHold;
        FreeHold = &Holds[i];
    }
    for (ULONG i = 0; i < OWNERS; i++) {
        InitializeListHead(&Owner[i]);
    }
    AllNodes = Nodes;
    return TRUE;
}

static BOOLEAN IsOff(VOID) {
    return !VfHas(VF_DEADLOCK) || AllNodes == NULL;
}

static KIRQL LockDatabase(VOID) {
    KIRQL OldIrql = KiCurrentIrql();
    KiSetIrql(HIGH_LEVEL);
    while (__atomic_exchange_n(&DatabaseLock, 1, __ATOMIC_ACQUIRE) != 0) {
        YieldProcessor();
    }
    return OldIrql;
}

static VOID UnlockDatabase(KIRQL OldIrql) {
    __atomic_store_n(&DatabaseLock, 0, __ATOMIC_RELEASE);
    KiSetIrql(OldIrql);
}

/* Stops the machine at the driver's own IRQL; the database stays locked, so that the report reads what is true now. */
static DECLSPEC_NORETURN VOID Stop(ULONG Rule, VF_NODE *Node, const VF_HOLD *Hold, ULONG_PTR P2, ULONG_PTR P3,
                                   ULONG_PTR P4, KIRQL OldIrql) {
    VfDeadlock.Rule = Rule;
    VfDeadlock.Node = Node;
    VfDeadlock.Hold = Hold;
    KiSetIrql(OldIrql);
    KeBugCheckEx(DRIVER_VERIFIER_DETECTED_VIOLATION, Rule, P2, P3, P4);
}

/* The thread, or with bit 0 the CPU whose DPC runs. The caller's IRQL, before the database is locked. */
static ULONG_PTR CurrentOwner(VOID) {
    if (KiCurrentIrql() >= DISPATCH_LEVEL && KeGetCurrentPrcb()->DpcRoutineActive) {
        return (ULONG_PTR)KeGetCurrentPrcb() | 1;
    }
    return (ULONG_PTR)KiCurrentThread();
}

static BOOLEAN IsThread(ULONG_PTR Who) {
    return !(Who & 1);
}

static VF_NODE **BucketOf(ULONG64 Va) {
    return &Bucket[(Va >> PAGE_SHIFT) & (BUCKETS - 1)];
}

static LIST_ENTRY *OwnerList(ULONG_PTR Who) {
    return &Owner[(Who >> 6 ^ Who >> 12) & (OWNERS - 1)];
}

static VF_NODE *FindNode(PVOID Lock) {
    VF_NODE *Node = *BucketOf((ULONG64)Lock);
    while (Node != NULL && Node->Lock != Lock) {
        Node = Node->NextInBucket;
    }
    return Node;
}

/* NULL: no room; the lock is not watched. */
static VF_NODE *FindOrCreateNode(PVOID Lock, VF_LOCK_KIND Kind) {
    VF_NODE *Node = FindNode(Lock);
    if (Node != NULL) {
        return Node;
    }
    Node = FreeNode;
    if (Node == NULL) {
        InterlockedIncrement(&VfStatistics.DeadlockDropped);
        return NULL;
    }
    FreeNode = Node->NextInBucket;
    *Node = (VF_NODE){.Lock = Lock, .Kind = (UCHAR)Kind, .NextInBucket = *BucketOf((ULONG64)Lock)};
    InitializeListHead(&Node->Holds);
    *BucketOf((ULONG64)Lock) = Node;
    InterlockedIncrement(&VfStatistics.DeadlockNodes);
    return Node;
}

/* ---- Forgetting ---- */

static VOID ForgetGate(VF_EDGE *Edge, const VF_NODE *Node) {
    for (ULONG i = 0; i < Edge->GateCount; i++) {
        if (Edge->Gate[i] == Node) {
            Edge->Gate[i] = Edge->Gate[--Edge->GateCount];
            return;
        }
    }
}

/* Takes the edges out of From that lead to Node (all of them when From is Node), and Node out of the others' gates. */
static VOID ForgetEdges(VF_NODE *From, VF_NODE *Node) {
    VF_EDGE **Link = &From->Edges;
    while (*Link != NULL) {
        VF_EDGE *Edge = *Link;
        if (From == Node || Edge->To == Node) {
            *Link = Edge->Next;
            Edge->Next = FreeEdge;
            FreeEdge = Edge;
            InterlockedDecrement(&VfStatistics.DeadlockEdges);
        } else {
            ForgetGate(Edge, Node);
            Link = &Edge->Next;
        }
    }
}

/* The node has no owner. */
static VOID RemoveNode(VF_NODE *Node) {
    for (ULONG i = 0; i < BUCKETS; i++) {
        for (VF_NODE *From = Bucket[i]; From != NULL; From = From->NextInBucket) {
            ForgetEdges(From, Node);
        }
    }
    VF_NODE **Link = BucketOf((ULONG64)Node->Lock);
    while (*Link != Node) {
        Link = &(*Link)->NextInBucket;
    }
    *Link = Node->NextInBucket;
    Node->NextInBucket = FreeNode;
    FreeNode = Node;
    InterlockedDecrement(&VfStatistics.DeadlockNodes);
}

static VF_HOLD *FirstHold(const VF_NODE *Node) {
    return IsListEmpty(&Node->Holds) ? NULL : CONTAINING_RECORD(Node->Holds.Flink, VF_HOLD, NodeEntry);
}

static VOID ForgetInBucket(VF_NODE *Node, ULONG64 Start, SIZE_T Bytes, KIRQL OldIrql) {
    while (Node != NULL) {
        VF_NODE *Next = Node->NextInBucket;
        if ((ULONG64)Node->Lock - Start < Bytes) {
            VF_HOLD *Hold = FirstHold(Node);
            if (Hold != NULL) {
                Stop(0x100B, Node, Hold, (ULONG_PTR)Node->Lock, Hold->Owner & ~1ULL, 0, OldIrql);
            }
            RemoveNode(Node);
        }
        Node = Next;
    }
}

/* The memory [Start, Start + Bytes) goes. A lock in it that is owned: 0xC4 (0x100B, lock, owner, 0). */
VOID VfForgetLocks(ULONG64 Start, SIZE_T Bytes) {
    if (IsOff() || Bytes == 0) {
        return;
    }
    ULONG64 Pages = ADDRESS_AND_SIZE_TO_SPAN_PAGES(Start, Bytes);
    KIRQL OldIrql = LockDatabase();
    for (ULONG64 i = 0; i < Pages && i < MANY_PAGES; i++) {
        ForgetInBucket(*BucketOf(Start + (i << PAGE_SHIFT)), Start, Bytes, OldIrql);
    }
    UnlockDatabase(OldIrql);
}

VOID VfLockDeleted(PVOID Lock) {
    VfForgetLocks((ULONG64)Lock, 1);
}

/* ---- Holders ---- */

static VF_HOLD *FindHold(VF_NODE *Node, ULONG_PTR Who) {
    for (PLIST_ENTRY Entry = Node->Holds.Flink; Entry != &Node->Holds; Entry = Entry->Flink) {
        VF_HOLD *Hold = CONTAINING_RECORD(Entry, VF_HOLD, NodeEntry);
        if (Hold->Owner == Who) {
            return Hold;
        }
    }
    return NULL;
}

static VOID RemoveHold(VF_HOLD *Hold) {
    RemoveEntryList(&Hold->NodeEntry);
    RemoveEntryList(&Hold->OwnerEntry);
    Hold->NextFree = FreeHold;
    FreeHold = Hold;
}

/* ---- Circles ---- */

/* Two edges that were always drawn under the same third lock cannot be walked by two threads at once. */
static BOOLEAN ShareGate(const VF_EDGE *A, const VF_EDGE *B) {
    for (ULONG i = 0; i < A->GateCount; i++) {
        for (ULONG j = 0; j < B->GateCount; j++) {
            if (A->Gate[i] == B->Gate[j] && A->Gate[i]->HasExclusive) {
                return TRUE;
            }
        }
    }
    return FALSE;
}

/* Whether the path found can come true: no gate, and each lock of it can keep a thread out. */
static BOOLEAN IsDangerous(ULONG Length) {
    for (ULONG i = 0; i < Length; i++) {
        if (!VfDeadlock.Path[i]->From->HasExclusive) {
            return FALSE;
        }
        for (ULONG j = i + 1; j < Length; j++) {
            if (ShareGate(VfDeadlock.Path[i], VfDeadlock.Path[j])) {
                return FALSE;
            }
        }
    }
    return TRUE;
}

/* Depth first from At to Goal; the edges go into Path from Depth on. TRUE: they close a circle that matters. */
static BOOLEAN FindPath(VF_NODE *At, const VF_NODE *Goal, ULONG Depth) {
    At->Visit = Visit;
    for (VF_EDGE *Edge = At->Edges; Edge != NULL && Depth < DEPTH; Edge = Edge->Next) {
        VfDeadlock.Path[Depth] = Edge;
        if (Edge->To == Goal) {
            if (IsDangerous(Depth + 1)) {
                VfDeadlock.PathLength = Depth + 1;
                return TRUE;
            }
        } else if (Edge->To->Visit != Visit && FindPath(Edge->To, Goal, Depth + 1)) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Keeps of the edge's gates only the locks that the owner holds besides From. TRUE: there are fewer now. */
static BOOLEAN NarrowGates(VF_EDGE *Edge, ULONG_PTR Who) {
    ULONG Kept = 0;
    for (ULONG i = 0; i < Edge->GateCount; i++) {
        if (FindHold(Edge->Gate[i], Who) != NULL) {
            Edge->Gate[Kept++] = Edge->Gate[i];
        }
    }
    BOOLEAN IsNarrower = Kept != Edge->GateCount;
    Edge->GateCount = Kept;
    return IsNarrower;
}

static VOID CollectGates(VF_EDGE *Edge, ULONG_PTR Who) {
    PLIST_ENTRY Head = OwnerList(Who);
    for (PLIST_ENTRY Entry = Head->Flink; Entry != Head && Edge->GateCount < VF_GATES; Entry = Entry->Flink) {
        VF_HOLD *Hold = CONTAINING_RECORD(Entry, VF_HOLD, OwnerEntry);
        if (Hold->Owner == Who && Hold->Node != Edge->From) {
            Edge->Gate[Edge->GateCount++] = Hold->Node;
        }
    }
}

/* The edge From -> To for this owner, new or drawn again with fewer gates; NULL: nothing new, or no room. */
static VF_EDGE *DrawEdge(const VF_HOLD *From, VF_NODE *To, ULONG_PTR Who, PVOID *Stack) {
    for (VF_EDGE *Edge = From->Node->Edges; Edge != NULL; Edge = Edge->Next) {
        if (Edge->To == To) {
            return NarrowGates(Edge, Who) ? Edge : NULL;
        }
    }
    VF_EDGE *Edge = FreeEdge;
    if (Edge == NULL) {
        InterlockedIncrement(&VfStatistics.DeadlockDropped);
        return NULL;
    }
    FreeEdge = Edge->Next;
    *Edge = (VF_EDGE){.Next = From->Node->Edges, .From = From->Node, .To = To, .Owner = Who};
    memcpy(Edge->FromStack, From->Stack, sizeof(Edge->FromStack));
    memcpy(Edge->ToStack, Stack, sizeof(Edge->ToStack));
    CollectGates(Edge, Who);
    From->Node->Edges = Edge;
    InterlockedIncrement(&VfStatistics.DeadlockEdges);
    return Edge;
}

static VOID DrawEdges(VF_NODE *Node, ULONG_PTR Who, PVOID *Stack, KIRQL OldIrql) {
    PLIST_ENTRY Head = OwnerList(Who);
    for (PLIST_ENTRY Entry = Head->Flink; Entry != Head; Entry = Entry->Flink) {
        const VF_HOLD *Hold = CONTAINING_RECORD(Entry, VF_HOLD, OwnerEntry);
        if (Hold->Owner != Who) {
            continue;
        }
        VF_EDGE *Edge = DrawEdge(Hold, Node, Who, Stack);
        if (Edge == NULL) {
            continue;
        }
        Visit++;
        VfDeadlock.Path[0] = Edge;
        if (FindPath(Node, Hold->Node, 1)) {
            Stop(0x1001, Node, Hold, (ULONG_PTR)Node->Lock, 0, 0, OldIrql);
        }
    }
}

/* ---- Reports from the thunks ---- */

/* Whether an owner in Held mode that asks for Wanted mode waits for itself. */
static BOOLEAN IsSelfDeadlock(VF_LOCK_KIND Kind, VF_LOCK_MODE Held, VF_LOCK_MODE Wanted) {
    switch (Kind) {
    case VfMutex:
        return FALSE;
    case VfEresource:
        return Held == VfShared && Wanted == VfExclusive;
    case VfReaderWriterSpinLock:
        return Held == VfExclusive || Wanted == VfExclusive;
    default:
        return TRUE;
    }
}

/* A lock never seen made or owned, with contents that no lock has. */
static BOOLEAN LooksUninitialized(const VF_NODE *Node) {
    static const UCHAR Zeros[sizeof(FAST_MUTEX)];
    if (Node->IsInitialized || !IsListEmpty(&Node->Holds)) {
        return FALSE;
    }
    switch (Node->Kind) {
    case VfFastMutex:
    case VfGuardedMutex:
        return memcmp(Node->Lock, Zeros, sizeof(FAST_MUTEX)) == 0;
    case VfEresource:
        return *(const PVOID *)Node->Lock == NULL; /* a live one is in the list of all */
    case VfSpinLock:
        return *(volatile KSPIN_LOCK *)Node->Lock > 1 && VfIsOnStack(Node->Lock);
    default:
        return FALSE;
    }
}

/* The current owner is about to wait for the lock, if it must. Taken forever by itself: 0xC4 (0x1000); a circle:
 * (0x1001); never initialised: (0x1002); each with the lock as the second parameter. */
VOID VfLockWanted(PVOID Lock, VF_LOCK_KIND Kind, VF_LOCK_MODE Mode) {
    if (IsOff()) {
        return;
    }
    PVOID Stack[VF_FRAMES];
    ULONG_PTR Who = CurrentOwner();
    VfCaptureStack(Stack, VF_FRAMES);
    KIRQL OldIrql = LockDatabase();
    VF_NODE *Node = FindOrCreateNode(Lock, Kind);
    if (Node != NULL) {
        VF_HOLD *Hold = FindHold(Node, Who);
        Node->HasExclusive |= Mode == VfExclusive;
        if (LooksUninitialized(Node)) {
            Stop(0x1002, Node, NULL, (ULONG_PTR)Lock, 0, 0, OldIrql);
        }
        if (Hold == NULL) {
            DrawEdges(Node, Who, Stack, OldIrql);
        } else if (IsSelfDeadlock(Kind, Hold->Mode, Mode)) {
            Stop(0x1000, Node, Hold, (ULONG_PTR)Lock, 0, 0, OldIrql);
        }
    }
    UnlockDatabase(OldIrql);
}

VOID VfLockAcquired(PVOID Lock, VF_LOCK_KIND Kind, VF_LOCK_MODE Mode) {
    if (IsOff()) {
        return;
    }
    PVOID Stack[VF_FRAMES];
    ULONG_PTR Who = CurrentOwner();
    VfCaptureStack(Stack, VF_FRAMES);
    KIRQL OldIrql = LockDatabase();
    VF_NODE *Node = FindOrCreateNode(Lock, Kind);
    VF_HOLD *Hold = Node == NULL ? NULL : FindHold(Node, Who);
    if (Hold != NULL) {
        Hold->Count++;
    } else if (Node != NULL && FreeHold != NULL) {
        Hold = FreeHold;
        FreeHold = Hold->NextFree;
        *Hold = (VF_HOLD){.Node = Node, .Owner = Who, .Mode = (UCHAR)Mode, .Count = 1};
        memcpy(Hold->Stack, Stack, sizeof(Stack));
        InsertTailList(&Node->Holds, &Hold->NodeEntry);
        InsertTailList(OwnerList(Who), &Hold->OwnerEntry);
        Node->HasExclusive |= Mode == VfExclusive;
    } else if (Node != NULL) {
        Node->HasLostHold = TRUE; /* from now on its owners are unknown */
        InterlockedIncrement(&VfStatistics.DeadlockDropped);
    }
    UnlockDatabase(OldIrql);
}

/* Who: the current owner, unless a call names another thread. Not owned: 0xC4 (0x1007, lock); owned by another:
 * (0x1004, lock, owner, current thread). */
VOID VfLockReleasedFor(PVOID Lock, VF_LOCK_KIND Kind, ULONG_PTR Who) {
    KIRQL OldIrql = LockDatabase();
    VF_NODE *Node = FindOrCreateNode(Lock, Kind);
    VF_HOLD *Hold = Node == NULL ? NULL : FindHold(Node, Who);
    VF_HOLD *Other = Node == NULL ? NULL : FirstHold(Node);
    if (Node == NULL || Node->HasLostHold) {
        UnlockDatabase(OldIrql);
        return;
    }
    if (Other == NULL) {
        Stop(0x1007, Node, NULL, (ULONG_PTR)Lock, 0, 0, OldIrql);
    }
    if (Hold == NULL && IsThread(Who) && IsThread(Other->Owner)) {
        Stop(0x1004, Node, Other, (ULONG_PTR)Lock, Other->Owner, Who, OldIrql);
    }
    Hold = Hold == NULL ? Other : Hold; /* taken in a DPC and released in a thread, or the other way round */
    if (--Hold->Count == 0) {
        RemoveHold(Hold);
    }
    UnlockDatabase(OldIrql);
}

VOID VfLockReleased(PVOID Lock, VF_LOCK_KIND Kind) {
    if (!IsOff()) {
        VfLockReleasedFor(Lock, Kind, CurrentOwner());
    }
}

/* The current owner's exclusive hold becomes a shared one. */
VOID VfLockConverted(PVOID Lock) {
    if (IsOff()) {
        return;
    }
    ULONG_PTR Who = CurrentOwner();
    KIRQL OldIrql = LockDatabase();
    VF_NODE *Node = FindNode(Lock);
    VF_HOLD *Hold = Node == NULL ? NULL : FindHold(Node, Who);
    if (Hold != NULL) {
        Hold->Mode = VfShared;
    }
    UnlockDatabase(OldIrql);
}

/* A lock is made. One that lives: 0xC4 (0x1005, lock). It lives until its memory goes; on a stack, until it is made
 * again while it is not owned, since a function's locals go without notice. */
VOID VfLockInitialized(PVOID Lock, VF_LOCK_KIND Kind) {
    if (IsOff()) {
        return;
    }
    BOOLEAN IsLasting = VfIsTracked(Lock) || LdrFindModule((ULONG64)Lock) != NULL;
    KIRQL OldIrql = LockDatabase();
    VF_NODE *Node = FindNode(Lock);
    if (Node != NULL) {
        VF_HOLD *Hold = FirstHold(Node);
        if (Hold != NULL || (IsLasting && Node->IsInitialized)) {
            Stop(0x1005, Node, Hold, (ULONG_PTR)Lock, 0, 0, OldIrql);
        }
        RemoveNode(Node);
    }
    Node = FindOrCreateNode(Lock, Kind);
    if (Node != NULL) {
        Node->IsInitialized = TRUE;
    }
    UnlockDatabase(OldIrql);
}

/* ---- The end of a thread ---- */

/* The current thread ends. It still owns a lock: 0xC4 (0x100A, thread, lock, 0). */
static VOID CheckThreadEnd(PETHREAD Ended, KE_THREAD_EVENT Event) {
    PKTHREAD Thread = &Ended->Tcb;
    if (Event != ThreadEnds || IsOff()) {
        return;
    }
    KIRQL OldIrql = LockDatabase();
    PLIST_ENTRY Head = OwnerList((ULONG_PTR)Thread);
    for (PLIST_ENTRY Entry = Head->Flink; Entry != Head; Entry = Entry->Flink) {
        VF_HOLD *Hold = CONTAINING_RECORD(Entry, VF_HOLD, OwnerEntry);
        if (Hold->Owner == (ULONG_PTR)Thread) {
            Stop(0x100A, Hold->Node, Hold, (ULONG_PTR)Thread, (ULONG_PTR)Hold->Node->Lock, 0, OldIrql);
        }
    }
    UnlockDatabase(OldIrql);
    VfForgetLocks(Thread->StackLimit, Thread->StackBase - Thread->StackLimit);
}

/* Whether the lock is known to be owned. */
BOOLEAN VfIsLockOwned(PVOID Lock) {
    if (IsOff()) {
        return FALSE;
    }
    KIRQL OldIrql = LockDatabase();
    VF_NODE *Node = FindNode(Lock);
    BOOLEAN IsOwned = Node != NULL && !IsListEmpty(&Node->Holds);
    UnlockDatabase(OldIrql);
    return IsOwned;
}
KE_THREAD_WATCH(3, CheckThreadEnd);

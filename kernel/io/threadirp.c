/* threadirp.c: a thread's pending IRPs, cancelled when the thread ends first.
 *
 * A request that completion finishes in its requester (complete.c) is in that thread's list from the time it is built
 * until it is freed. A thread that ends takes its requests back: it cancels each, and waits until they have come back.
 * A driver that holds on to a cancelled one delays the end of the thread, but not forever: after five minutes, as on
 * NT, the request loses its requester, and its completion only frees it. */
#include "iop.h"
#include <kd.h>
#include <ring.h>

#define POLL_MS 100
#define POLLS 3000 /* five minutes */

KE_DECLARE_LOCK(IopThreadIrpLock, RANK_DISPATCHER + 1, "the lists of requests that end in their threads");

LIST_ENTRY IopOrphanIrps = {&IopOrphanIrps, &IopOrphanIrps};
LIST_ENTRY IopSentIrps = {&IopSentIrps, &IopSentIrps};

static VOID QueueThreadIrp(PIRP Irp) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&IopThreadIrpLock, &OldIrql);
    Irp->Reserved |= IOP_IRP_QUEUED;
    InsertTailList(&Irp->Tail.Overlay.Thread->IrpList, &Irp->ThreadListEntry);
    Irp->Tail.Overlay.Thread->RequestCount++;
    KeReleaseSpinLock(&IopThreadIrpLock, OldIrql);
}

static VOID UnqueueThreadIrp(PIRP Irp) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&IopThreadIrpLock, &OldIrql);
    RemoveEntryList(&Irp->ThreadListEntry);
    Irp->Reserved &= (USHORT) ~(IOP_IRP_QUEUED | IOP_IRP_COMPLETING | IOP_IRP_ORPHAN);
    KeReleaseSpinLock(&IopThreadIrpLock, OldIrql);
}

static BOOLEAN BeginThreadCompletion(PIRP Irp) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&IopThreadIrpLock, &OldIrql);
    BOOLEAN HasRequester = !(Irp->Reserved & IOP_IRP_ORPHAN);
    Irp->Reserved |= IOP_IRP_COMPLETING;
    KeReleaseSpinLock(&IopThreadIrpLock, OldIrql);
    return HasRequester;
}

/* See io.h. */
BOOLEAN IoIsIrpOfThread(PIRP Irp) {
    return (Irp->Reserved & IOP_IRP_QUEUED) != 0;
}

/* See io.h. */
BOOLEAN IoIsIrpSent(PIRP Irp) {
    return (Irp->Reserved & IOP_IRP_SENT) != 0;
}

BOOLEAN IopLeaveIrp(PIRP Irp) {
    KIRQL OldIrql;
    PFILE_OBJECT File = Irp->Tail.Overlay.OriginalFileObject;
    KeAcquireSpinLock(&IopThreadIrpLock, &OldIrql);
    BOOLEAN IsLeft = !(Irp->Reserved & IOP_IRP_COMPLETING);
    if (IsLeft) {
        Irp->Reserved = (USHORT)((Irp->Reserved & ~IOP_IRP_WAITED) | IOP_IRP_HOLDS_THREAD);
        ObfReferenceObject(Irp->Tail.Overlay.Thread);
        if (File != NULL) {
            Irp->Reserved |= IOP_IRP_HOLDS_FILE;
            ObfReferenceObject(File);
        }
        Irp->UserEvent = NULL;
    }
    KeReleaseSpinLock(&IopThreadIrpLock, OldIrql);
    return IsLeft;
}

/* One that is in a thread's list is left alone. */
static VOID NoteSentIrp(PIRP Irp) {
    KIRQL OldIrql;
    if ((Irp->Reserved & (IOP_IRP_FROM_POOL | IOP_IRP_SENT | IOP_IRP_QUEUED)) != IOP_IRP_FROM_POOL) {
        return;
    }
    KeAcquireSpinLock(&IopThreadIrpLock, &OldIrql);
    Irp->Reserved |= IOP_IRP_SENT;
    InsertTailList(&IopSentIrps, &Irp->ThreadListEntry);
    KeReleaseSpinLock(&IopThreadIrpLock, OldIrql);
}

/* See io.h. */
VOID IoNoteSentIrps(VOID) {
    IopSentHook = NoteSentIrp;
}

static VOID ForgetSentIrp(PIRP Irp) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&IopThreadIrpLock, &OldIrql);
    RemoveEntryList(&Irp->ThreadListEntry);
    Irp->Reserved &= (USHORT)~IOP_IRP_SENT;
    KeReleaseSpinLock(&IopThreadIrpLock, OldIrql);
}

static const IOP_THREAD_IRPS Requests = {QueueThreadIrp, UnqueueThreadIrp, ForgetSentIrp, BeginThreadCompletion};
KE_ATTACH(IopThreadIrps, &Requests);

/* ---- The end of a thread ---- */

/* See iop.h. */
PIRP IopCountDownIn(const LIST_ENTRY *Head, PULONG Index) {
    /* NULL: a thread that is being made is in the list of threads before its own list is initialised. */
    for (const LIST_ENTRY *Entry = Head->Flink; Entry != NULL && Entry != Head; Entry = Entry->Flink) {
        if ((*Index)-- == 0) {
            return CONTAINING_RECORD(Entry, IRP, ThreadListEntry);
        }
    }
    return NULL;
}

static PIRP FindIn(const LIST_ENTRY *Head, ULONG Index) {
    return IopCountDownIn(Head, &Index);
}

static PIRP FindOfThread(PETHREAD Thread, ULONG Index) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&IopThreadIrpLock, &OldIrql);
    PIRP Irp = FindIn(&Thread->IrpList, Index);
    KeReleaseSpinLock(&IopThreadIrpLock, OldIrql);
    return Irp;
}

/* At APC_LEVEL none of the thread's requests can go away: an APC of the thread finishes each. */
static VOID CancelAll(PETHREAD Thread) {
    PIRP Irp;
    KIRQL OldIrql = KfRaiseIrql(APC_LEVEL);
    for (ULONG Index = 0; (Irp = FindOfThread(Thread, Index)) != NULL; Index++) {
        IoCancelIrp(Irp);
    }
    KeLowerIrql(OldIrql);
}

/* Takes the requester away from the first request whose completion has not begun. NULL: there is none. */
static PIRP Disown(PETHREAD Thread) {
    KIRQL OldIrql;
    PIRP Irp, Found = NULL;
    KeAcquireSpinLock(&IopThreadIrpLock, &OldIrql);
    for (ULONG Index = 0; Found == NULL && (Irp = FindIn(&Thread->IrpList, Index)) != NULL; Index++) {
        Found = Irp->Reserved & IOP_IRP_COMPLETING ? NULL : Irp;
    }
    BOOLEAN HoldsThread = FALSE;
    if (Found != NULL) {
        HoldsThread = (Found->Reserved & IOP_IRP_HOLDS_THREAD) != 0;
        Found->Reserved = (USHORT)((Found->Reserved & ~IOP_IRP_HOLDS_THREAD) | IOP_IRP_ORPHAN);
        Found->Tail.Overlay.Thread = NULL;
        RemoveEntryList(&Found->ThreadListEntry);
        InsertTailList(&IopOrphanIrps, &Found->ThreadListEntry);
    }
    KeReleaseSpinLock(&IopThreadIrpLock, OldIrql);
    if (HoldsThread) {
        ObDereferenceObjectDeferDelete(Thread);
    }
    return Found;
}

/* Cancels the thread's requests and waits until they have come back, at most five minutes. PASSIVE_LEVEL. */
static VOID CancelThreadIo(PETHREAD Thread) {
    LARGE_INTEGER Interval = {.QuadPart = -POLL_MS * 10000LL};
    ULONG64 Haste = KeGetBootOptionNumber("haste", 1);
    PIRP Irp;
    for (ULONG64 Polls = 0; FindOfThread(Thread, 0) != NULL && Polls * Haste < POLLS; Polls++) {
        CancelAll(Thread);
        if (FindOfThread(Thread, 0) != NULL) {
            KeDelayExecutionThread(KernelMode, FALSE, &Interval);
        }
    }
    while ((Irp = Disown(Thread)) != NULL) {
        KdPrintf("io: thread 0x%X ends, and its request %p has not come back for five minutes after it was cancelled\n",
                 HandleToULong(Thread->Cid.UniqueThread), Irp);
    }
}

static VOID WatchThread(PETHREAD Thread, KE_THREAD_EVENT Event) {
    if (Event == ThreadInitialized) {
        InitializeListHead(&Thread->IrpList);
    } else if (Event == ThreadEnds) {
        CancelThreadIo(Thread);
    }
}
KE_THREAD_WATCH(2, WatchThread);

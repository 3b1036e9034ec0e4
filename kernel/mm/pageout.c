/* pageout.c: the modified-page writer: dirty pages copied to the page file, to free their frames.
 *
 * It needs no memory to make memory: requests, slots and threads are there before the first page is short. A page in
 * flight is in no list and may be faulted back, changed, trimmed again or freed meanwhile. The PFN alone tells what to
 * do at the end (tests/models/shootdown.pml tries every order):
 *
 *   IsDeleted                 -> frame and slot are freed
 *   Location is Active        -> mapped again. Its slot holds what was written; if it changed since, its PTE has D
 *   Transition, not modified  -> standby: the slot is the contents
 *   Transition, modified      -> trimmed again after a change: back to the modified list, written anew
 *   the device failed         -> modified again, with another slot next time */
#include "mi.h"
#include <ps.h>

#define WRITE_BATCH 16
#define MODIFIED_THRESHOLD 128 /* as many dirty pages wait before the writer runs without need */

KEVENT MiWriterEvent;
PKTHREAD MiWriterThread;

typedef struct _WRITE {
    BLOCK_REQUEST Request;
    PMMPFN Pfn;
} WRITE;

static WRITE Writes[WRITE_BATCH]; /* the writer's alone */
static volatile LONG Outstanding;
static KEVENT BatchEvent;     /* synchronization: the last write of the batch has ended */
static KEVENT FlushEvent;     /* notification: nothing is left to write, or nothing can be */
static BOOLEAN IsFlushWanted; /* MmPfnLock */

/* BLOCK_REQUEST.Complete, at DISPATCH_LEVEL. */
static VOID CompleteWrite(PBLOCK_REQUEST Request) {
    UNREFERENCED_PARAMETER(Request);
    if (InterlockedDecrement(&Outstanding) == 0) {
        KeSetEvent(&BatchEvent, IO_DISK_INCREMENT, FALSE);
    }
}

/* Takes dirty pages off the list and gives each a slot; stops at the first that gets none. Returns how many. */
static ULONG GatherBatch(PBOOLEAN NeedsSlots) {
    ULONG Count = 0;
    KIRQL OldIrql = MiAcquirePfnLock();
    while (Count < WRITE_BATCH && MiModifiedList.Count != 0) {
        PMMPFN Pfn = MiGetPfn(MiModifiedList.First);
        ULONG Slot = MiGetPteSlot(Pfn->OriginalPte);
        if (Slot == 0 && (Slot = MiAllocateSlot()) == 0) {
            *NeedsSlots = TRUE;
            break;
        }
        MiUnlinkPage(Pfn);
        Pfn->OriginalPte = (MMPTE)Slot << PTE_PAGEFILE_SHIFT;
        Pfn->HasWrite = TRUE;
        Pfn->IsModified = FALSE; /* before the write begins: invariant I2, mi.h */
        Writes[Count++].Pfn = Pfn;
    }
    MiReleasePfnLock(OldIrql);
    return Count;
}

/* MmPfnLock held. FALSE: the write failed. */
static BOOLEAN EndWrite(WRITE *Write) {
    PMMPFN Pfn = Write->Pfn;
    BOOLEAN IsWritten = NT_SUCCESS(Write->Request.Status);
    Pfn->HasWrite = FALSE;
    MiCounters.PageWrites += IsWritten;
    if (!IsWritten) {
        MiAbandonSlot();
        Pfn->OriginalPte = 0;
        Pfn->IsModified = TRUE;
    }
    if (Pfn->IsDeleted) {
        MiDeletePage(Pfn);
    } else if (Pfn->Location == LocationTransition) {
        MiRetirePage(Pfn);
    }
    return IsWritten;
}

/* PASSIVE_LEVEL. FALSE when a write has failed. */
static BOOLEAN WriteBatch(ULONG Count) {
    Outstanding = (LONG)Count;
    for (ULONG Index = 0; Index < Count; Index++) {
        WRITE *Write = &Writes[Index];
        Write->Request.Complete = CompleteWrite;
        MiStartTransfer(&Write->Request, MiGetPteSlot(Write->Pfn->OriginalPte), MiGetFrame(Write->Pfn), TRUE);
    }
    KeWaitForSingleObject(&BatchEvent, WrPageOut, KernelMode, FALSE, NULL);
    BOOLEAN IsWritten = TRUE;
    KIRQL OldIrql = MiAcquirePfnLock();
    for (ULONG Index = 0; Index < Count; Index++) {
        IsWritten &= EndWrite(&Writes[Index]);
    }
    MiReleasePfnLock(OldIrql);
    return IsWritten;
}

/* Writes until the modified list is empty, the page file is full for good, or the device fails. */
static VOID WriteModifiedPages(VOID) {
    for (;;) {
        BOOLEAN NeedsSlots = FALSE;
        ULONG Count = GatherBatch(&NeedsSlots);
        if (Count == 0 && (!NeedsSlots || MiRefillSlots(WRITE_BATCH) == 0)) {
            return;
        }
        if (Count != 0 && !WriteBatch(Count)) {
            return;
        }
    }
}

static BOOLEAN IsWriteNeeded(VOID) { /* without the lock: it is asked again within a second */
    return ReadBooleanNoFence(&IsFlushWanted) || ReadULong64NoFence(&MiModifiedList.Count) >= MODIFIED_THRESHOLD ||
           ReadULong64NoFence(&MiAvailablePages) < MiHighPages;
}

static VOID ModifiedPageWriter(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    LARGE_INTEGER Period = {.QuadPart = -10000000LL}; /* 1 s */
    for (;;) {
        KeWaitForSingleObject(&MiWriterEvent, WrPageOut, KernelMode, FALSE, &Period);
        if (IsWriteNeeded()) {
            WriteModifiedPages();
        }
        KIRQL OldIrql = MiAcquirePfnLock();
        if (IsFlushWanted) {
            IsFlushWanted = FALSE;
            KeSetEvent(&FlushEvent, IO_NO_INCREMENT, FALSE);
        }
        MiReleasePfnLock(OldIrql);
    }
}

/* <= DISPATCH_LEVEL. */
VOID MiWakeWriter(VOID) {
    if (MiHasPageFile) {
        KeSetEvent(&MiWriterEvent, IO_NO_INCREMENT, FALSE);
    }
}

/* See mm.h. Returns at once without a page file, and when what is left cannot be written. Twice, because the writer
 * may have been at the end of a round when the request came. */
VOID MmFlushModifiedPages(VOID) {
    for (ULONG Round = 0; Round < 2 && MiHasPageFile; Round++) {
        KIRQL OldIrql = MiAcquirePfnLock();
        IsFlushWanted = TRUE;
        KeClearEvent(&FlushEvent);
        MiReleasePfnLock(OldIrql);
        MiWakeWriter();
        KeWaitForSingleObject(&FlushEvent, WrPageOut, KernelMode, FALSE, NULL);
    }
}

/* See mm.h. <= DISPATCH_LEVEL. */
ULONG MmPurgeStandby(VOID) {
    ULONG Purged = 0;
    BOOLEAN IsMore = TRUE;
    while (IsMore) {
        KIRQL OldIrql = MiAcquirePfnLock();
        for (ULONG Batch = 0; Batch < MI_FLUSH_BATCH && MiStandbyList.Count != 0; Batch++, Purged++) {
            PMMPFN Pfn = MiGetPfn(MiStandbyList.First);
            MiRepurposeStandbyPage(Pfn);
            MiGivePage(Pfn, FALSE);
        }
        IsMore = MiStandbyList.Count != 0;
        MiReleasePfnLock(OldIrql);
    }
    return Purged;
}

/* PASSIVE_LEVEL. */
NTSTATUS MiStartWriter(VOID) {
    PETHREAD Thread;
    KeInitializeEvent(&BatchEvent, SynchronizationEvent, FALSE);
    KeInitializeEvent(&FlushEvent, NotificationEvent, TRUE);
    NTSTATUS Status = PsCreateNamedThread(&Thread, "modified-page writer", 18, ModifiedPageWriter, NULL);
    if (NT_SUCCESS(Status)) {
        MiWriterThread = &Thread->Tcb; /* the reference is kept: the thread never ends */
    }
    return Status;
}

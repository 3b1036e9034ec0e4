/* pagein.c: resolving a legal fault: demand-zero, transition, or one read shared by all who fault.
 *
 * A fault is decided under MmPfnLock, by the PTE at that moment, and finished outside it. After any wait (for a page,
 * or a read) the instruction is simply tried again: a fault that finds the PTE changed has nothing to undo.
 *
 *   HardFault -> MI_INPAGE on the PFN (HasRead), PTE in transition form -> device ... DPC: event set
 *                  ^ a second CPU faults: finds HasRead, takes a reference, waits for the same event (a collided fault)
 *
 * The first to wake sets the PTE; the others find IsFinished. So no thread waits for a thread that has lost its CPU. */
#include "mi.h"
#include <trace.h>

typedef enum _FAULT_OUTCOME {
    FaultResolved,
    FaultNeedsZeroing,
    FaultNeedsPage,
    FaultStartsRead,
    FaultJoinsRead
} FAULT_OUTCOME;

typedef struct _FAULT {
    ULONG64 Va;
    volatile MMPTE *Pte;
    ULONG64 Frame;     /* FaultNeedsZeroing: the page to zero */
    MI_INPAGE *InPage; /* FaultStartsRead, FaultJoinsRead */
} FAULT;

#define INPAGE_BLOCKS 32
static MI_INPAGE InPageBlocks[INPAGE_BLOCKS];
static MI_INPAGE *FreeInPage; /* MmPfnLock */

/* Boot CPU. */
VOID MiInitializePageIn(VOID) {
    for (ULONG Index = 0; Index < INPAGE_BLOCKS; Index++) {
        InPageBlocks[Index].Next = FreeInPage;
        FreeInPage = &InPageBlocks[Index];
    }
}

/* Gives the frame to the address: from now on the CPU finds it. MmPfnLock held; so for all below. */
static VOID MapPage(PMMPFN Pfn, volatile MMPTE *Pte, MMPTE Contents) {
    Pfn->Location = LocationActive;
    MiResidentPages++;
    *Pte = MiMakeValidPte(MiGetFrame(Pfn), Contents);
}

static VOID OwnPage(PMMPFN Pfn, volatile MMPTE *Pte) {
    Pfn->PteAddress = Pte;
    Pfn->IsPageable = TRUE;
}

static FAULT_OUTCOME DemandZeroFault(FAULT *Fault, MMPTE Contents) {
    BOOLEAN IsZeroed;
    Fault->Frame = MiTakePage(TRUE, &IsZeroed);
    if (Fault->Frame == 0) {
        MiPreparePageWait();
        return FaultNeedsPage;
    }
    if (!IsZeroed) {
        return FaultNeedsZeroing;
    }
    OwnPage(MiGetPfn(Fault->Frame), Fault->Pte);
    MapPage(MiGetPfn(Fault->Frame), Fault->Pte, Contents);
    MiCounters.DemandZeroFaults++;
    return FaultResolved;
}

static FAULT_OUTCOME TransitionFault(FAULT *Fault, MMPTE Contents) {
    PMMPFN Pfn = MiGetPfn(MiGetPteFrame(Contents));
    NT_ASSERT(Pfn->PteAddress == Fault->Pte && !Pfn->IsDeleted);
    if (Pfn->HasRead) {
        Fault->InPage = Pfn->InPage;
        Fault->InPage->References++;
        MiCounters.CollidedFaults++;
        return FaultJoinsRead;
    }
    if (Pfn->Location <= LocationModified) {
        MiUnlinkPage(Pfn);
    }
    MapPage(Pfn, Fault->Pte, Contents); /* clean even while it is being written: a change sets D (mi.h: I2) */
    MiCounters.TransitionFaults++;
    return FaultResolved;
}

static FAULT_OUTCOME HardFault(FAULT *Fault, MMPTE Contents) {
    BOOLEAN IsZeroed;
    ULONG64 Frame = FreeInPage == NULL ? 0 : MiTakePage(FALSE, &IsZeroed);
    if (Frame == 0) {
        MiPreparePageWait();
        return FaultNeedsPage;
    }
    MI_INPAGE *InPage = FreeInPage;
    FreeInPage = InPage->Next;
    PMMPFN Pfn = MiGetPfn(Frame);
    InPage->Pfn = Pfn;
    InPage->Contents = Contents;
    InPage->References = 1;
    InPage->IsFinished = FALSE;
    OwnPage(Pfn, Fault->Pte);
    Pfn->OriginalPte = Contents & ~MI_PROTECTION_MASK;
    Pfn->Location = LocationTransition;
    Pfn->HasRead = TRUE;
    Pfn->InPage = InPage;
    *Fault->Pte = MiMakeTransitionPte(Frame, Contents);
    Fault->InPage = InPage;
    MiCounters.PageReads++;
    KdTrace(TracePageIn, 0, Fault->Va, MiGetPteSlot(Contents), 0);
    return FaultStartsRead;
}

static FAULT_OUTCOME DecideFault(FAULT *Fault) {
    MMPTE Contents = *Fault->Pte;
    MiCounters.PageFaults++;
    if (Contents & PTE_VALID || Contents == 0) {
        return FaultResolved; /* another CPU was here first; if it freed the address, the next try finds that */
    }
    if (Contents & PTE_PROTOTYPE) { /* a view (view.c): its mapper holds a reference to the page */
        *Fault->Pte = *MiGetPrototype(Contents) | PTE_ACCESSED;
        MiCounters.TransitionFaults++;
        return FaultResolved;
    }
    if (Contents & PTE_TRANSITION) {
        return TransitionFault(Fault, Contents);
    }
    return MiGetPteSlot(Contents) != 0 ? HardFault(Fault, Contents) : DemandZeroFault(Fault, Contents);
}

/* Zeroes the page that the fault took, with the lock released, and maps it if the PTE is still as it was. */
static VOID FinishDemandZero(FAULT *Fault) {
    PMMPFN Pfn = MiGetPfn(Fault->Frame);
    MiZeroFrame(Fault->Frame);
    KIRQL OldIrql = MiAcquirePfnLock();
    MMPTE Contents = *Fault->Pte;
    if (Contents != 0 && (Contents & ~MI_PROTECTION_MASK) == 0) {
        OwnPage(Pfn, Fault->Pte);
        MapPage(Pfn, Fault->Pte, Contents);
        MiCounters.DemandZeroFaults++;
    } else {
        MiGivePage(Pfn, TRUE);
    }
    MiReleasePfnLock(OldIrql);
}

/* BLOCK_REQUEST.Complete, at DISPATCH_LEVEL. */
static VOID CompleteRead(PBLOCK_REQUEST Request) {
    KeSetEvent(&((MI_INPAGE *)Request->Context)->Event, IO_DISK_INCREMENT, FALSE);
}

/* The first to wake up turns the PTE to what the read has made true. MmPfnLock held. */
static VOID FinishRead(MI_INPAGE *InPage) {
    PMMPFN Pfn = InPage->Pfn;
    if (InPage->IsFinished) {
        return;
    }
    InPage->IsFinished = TRUE;
    KdTrace(TracePageIn, 1, MiGetPteVa(Pfn->PteAddress), MiGetPteSlot(InPage->Contents), 0);
    Pfn->HasRead = FALSE;
    if (Pfn->IsDeleted) {
        MiDeletePage(Pfn);
    } else if (NT_SUCCESS(InPage->Request.Status)) {
        MapPage(Pfn, Pfn->PteAddress, *Pfn->PteAddress);
    } else {
        *Pfn->PteAddress = Pfn->OriginalPte | (*Pfn->PteAddress & MI_PROTECTION_MASK);
        MiGivePage(Pfn, FALSE);
    }
}

/* <= APC_LEVEL, no lock. The read is submitted here, by the thread that started it. */
static VOID WaitForRead(FAULT *Fault, PKTRAP_FRAME TrapFrame, BOOLEAN IsMine) {
    MI_INPAGE *InPage = Fault->InPage;
    if (IsMine) {
        MiStartTransfer(&InPage->Request, MiGetPteSlot(InPage->Contents), MiGetFrame(InPage->Pfn), FALSE);
    }
    KeWaitForSingleObject(&InPage->Event, WrPageIn, KernelMode, FALSE, NULL);
    KIRQL OldIrql = MiAcquirePfnLock();
    FinishRead(InPage);
    NTSTATUS Status = InPage->Request.Status;
    MMPTE Contents = InPage->Contents;
    if (--InPage->References == 0) {
        InPage->Next = FreeInPage;
        FreeInPage = InPage;
        MiSignalPageWaiters();
    }
    MiReleasePfnLock(OldIrql);
    if (!NT_SUCCESS(Status)) {
        KiBugCheckFromTrap(KERNEL_DATA_INPAGE_ERROR, (ULONG_PTR)Fault->Pte, (ULONG_PTR)(LONG_PTR)Status, Contents,
                           Fault->Va, TrapFrame);
    }
}

/* See mi.h. At APC_LEVEL throughout: an APC that came to this thread between the decision to read and the start of
 * the read could touch the same page, and would wait for a read that only this thread can start. */
VOID MiResolveFault(PKTRAP_FRAME TrapFrame, ULONG64 Va, volatile MMPTE *Pte) {
    FAULT Fault = {.Va = Va, .Pte = Pte};
    KIRQL FaultIrql = KfRaiseIrql(APC_LEVEL);
    KIRQL OldIrql = MiAcquirePfnLock();
    MiCounters.LastFaultAddress = Va;
    MiCounters.LastFaultError = TrapFrame->ErrorCode;
    MiCounters.LastFaultIrql = TrapFrame->PreviousIrql;
    FAULT_OUTCOME Outcome = DecideFault(&Fault);
    if (Outcome == FaultStartsRead) {
        KeInitializeEvent(&Fault.InPage->Event, NotificationEvent, FALSE); /* before anyone can join */
        Fault.InPage->Request.Complete = CompleteRead;
        Fault.InPage->Request.Context = Fault.InPage;
    }
    MiReleasePfnLock(OldIrql);
    switch (Outcome) {
    case FaultResolved:
        break;
    case FaultNeedsZeroing:
        FinishDemandZero(&Fault);
        break;
    case FaultNeedsPage:
        MiWaitForPage();
        break;
    case FaultStartsRead:
    case FaultJoinsRead:
        WaitForRead(&Fault, TrapFrame, Outcome == FaultStartsRead);
        break;
    }
    KeLowerIrql(FaultIrql);
}

/* dumpchosen.c: the contents of a small dump: the memory that a stack walk and a first analysis read.
 *
 * In the order of their worth, until the budget is used up: the bugcheck's own state, the stack and the trap frame of the
 * guilty CPU, the page tables of the addresses in question and the memory around them, the list of modules, the CPUs'
 * control blocks and threads, held locks and their holders, the stacks of the other CPUs, the machine's identity, each
 * CPU's last events.
 * Parts are multiples of a sector, kept in ascending order and apart from each other. */
#include <arch.h>
#include <bootinfo.h>
#include <dump.h>
#include <kd.h>
#include <ldr.h>
#include <rtl.h>
#include <trace.h>

#define UNIT 512
#define MAXIMUM_PARTS 768
#define BUDGET_BYTES (208 << 10) /* the rest of 256 KiB is for headers, registers and tables */
#define MAXIMUM_FRAMES 64
#define MAXIMUM_MODULES 48
#define SHARE_OF_STACKS (64 << 10) /* for the CPUs that are not guilty, all together */
#define GUILTY_EVENTS 512          /* of the trace; 16 KiB */
#define OTHER_EVENTS 32

typedef struct _PART {
    ULONG64 Start, End;
} PART;

static PART Parts[MAXIMUM_PARTS];
static ULONG PartCount;
static ULONG64 ChosenBytes;
static KD_FRAME Frames[MAXIMUM_FRAMES];

/* ---- Parts ---- */

/* Takes the parts from First on that [Start, End) touches into it; returns how many. */
static ULONG Absorb(ULONG First, ULONG64 *Start, ULONG64 *End) {
    ULONG Count = 0;
    for (; First + Count < PartCount && Parts[First + Count].Start <= *End; Count++) {
        const PART *Part = &Parts[First + Count];
        ChosenBytes -= Part->End - Part->Start;
        *Start = Part->Start < *Start ? Part->Start : *Start;
        *End = Part->End > *End ? Part->End : *End;
    }
    return Count;
}

static VOID Choose(ULONG64 Address, ULONG64 Bytes) {
    ULONG64 Start = Address & ~(UNIT - 1ULL), End = (Address + Bytes + UNIT - 1) & ~(UNIT - 1ULL);
    if (Bytes == 0 || End <= Start || ChosenBytes + (End - Start) > BUDGET_BYTES) {
        return;
    }
    ULONG First = 0;
    while (First < PartCount && Parts[First].End < Start) {
        First++;
    }
    ULONG Absorbed = Absorb(First, &Start, &End);
    if (Absorbed == 0 && PartCount == MAXIMUM_PARTS) {
        return;
    }
    memmove(&Parts[First + 1], &Parts[First + Absorbed], (PartCount - First - Absorbed) * sizeof(PART));
    Parts[First] = (PART){Start, End};
    PartCount += 1 - Absorbed;
    ChosenBytes += End - Start;
}

BOOLEAN KdFindChosen(ULONG64 Start, ULONG64 End, ULONG64 *ChosenStart, ULONG64 *ChosenEnd) {
    ULONG Index = 0;
    while (Index < PartCount && Parts[Index].End <= Start) {
        Index++;
    }
    if (Index == PartCount || Parts[Index].Start >= End) {
        return FALSE;
    }
    *ChosenStart = Parts[Index].Start > Start ? Parts[Index].Start : Start;
    *ChosenEnd = Parts[Index].End < End ? Parts[Index].End : End;
    return TRUE;
}

static BOOLEAN IsReadable(ULONG64 Address, SIZE_T Bytes) {
    return MmIsAddressValid((PVOID)Address) && MmIsAddressValid((PVOID)(Address + Bytes - 1));
}

/* ---- The choice ---- */

/* A pointer: the memory around it, its page-table entries on all levels, and its page's entry in the PFN database. */
static VOID ChooseAround(ULONG64 Address) {
    if (MmFindRegion(Address)->Kind == RegionNone) {
        return;
    }
    Choose(Address & ~(UNIT - 1ULL), 2 * UNIT);
    Choose((ULONG64)MiGetPxeAddress(Address), sizeof(MMPTE));
    Choose((ULONG64)MiGetPpeAddress(Address), sizeof(MMPTE));
    Choose((ULONG64)MiGetPdeAddress(Address), sizeof(MMPTE));
    Choose((ULONG64)MiGetPteAddress(Address), sizeof(MMPTE));
    Choose(MmGetPfnAddress(Address), UNIT);
}

/* The used part of the stack from Rsp on, at most Limit bytes of it. */
static VOID ChooseStack(ULONG64 Rsp, ULONG64 Limit) {
    ULONG64 End = Rsp & ~7ULL;
    while (End - Rsp < Limit && MmIsAddressValid((PVOID)End)) {
        End = (End | (PAGE_SIZE - 1)) + 1;
    }
    Choose(Rsp, End - Rsp < Limit ? End - Rsp : Limit);
}

/* A stack walk from the CPU's registers: each stack that it comes through, and the code that is not the kernel's. */
static VOID ChooseWalk(const KD_REGISTERS *Registers, ULONG64 Limit) {
    ULONG64 Start, End;
    ChooseStack(Registers->Rsp, Limit);
    KD_FRAME First = {.Rip = Registers->Rip, .Rsp = Registers->Rsp, .Rbp = Registers->Rbp, .IsTrap = TRUE};
    ULONG Count = KdWalkStack(&First, Frames, MAXIMUM_FRAMES);
    for (ULONG i = 0; i < Count; i++) {
        /* Below the caller's rsp lie the two words by which it was found, perhaps the first of another stack. */
        ULONG64 Rsp = Frames[i].Rsp - (Frames[i].IsTrap ? 0 : 2 * sizeof(ULONG64));
        if (IsReadable(Rsp, 2 * sizeof(ULONG64)) && !KdFindChosen(Rsp, Rsp + 1, &Start, &End)) {
            ChooseStack(Rsp, Limit);
        }
        if (!LdrIsKernelAddress(Frames[i].Rip)) {
            Choose(Frames[i].Rip - UNIT / 2, UNIT);
        }
    }
}

static VOID ChooseThread(ULONG64 Thread) {
    if (IsReadable(Thread, sizeof(ETHREAD))) {
        Choose(Thread, sizeof(ETHREAD));
    }
}

static VOID ChooseGuilty(const KD_DUMP_HEADER *Bug) {
    KD_REGISTERS Registers;
    KiQueryRegisters(Bug->GuiltyProcessor, &Registers);
    ChooseWalk(&Registers, KERNEL_STACK_SIZE);
    for (ULONG i = 0; i < RTL_NUMBER_OF(Bug->BugCheckParameter); i++) {
        ChooseAround(Bug->BugCheckParameter[i]);
    }
    ChooseAround(Registers.Rip);
    const ULONG64 *Register = (const ULONG64 *)&Registers;
    for (ULONG i = 0; i < offsetof(KD_REGISTERS, OriginalRax) / sizeof(ULONG64); i++) {
        ChooseAround(Register[i]);
    }
}

static VOID ChooseProcessor(ULONG Number) {
    PKPRCB Prcb = KiProcessorBlock[Number];
    if (Prcb == NULL || !IsReadable((ULONG64)Prcb, sizeof(*Prcb))) {
        return;
    }
    Choose((ULONG64)CONTAINING_RECORD(Prcb, KPCR, Prcb), sizeof(KPCR));
    ChooseThread((ULONG64)Prcb->CurrentThread);
    Choose((ULONG64)Prcb->FreezeFrame, sizeof(KTRAP_FRAME));
    Choose((ULONG64)Prcb->SpinningOn, sizeof(KSPIN_LOCK));
    for (ULONG i = 0; i < Prcb->HeldLockCount && i < MAXIMUM_HELD_LOCKS; i++) {
        Choose((ULONG64)Prcb->HeldLock[i].Lock, sizeof(KSPIN_LOCK));
        ChooseThread((ULONG64)Prcb->HeldLock[i].Thread);
    }
}

static VOID ChooseModules(VOID) {
    Choose((ULONG64)&PsLoadedModuleList, sizeof(PsLoadedModuleList));
    ULONG64 Entry = (ULONG64)PsLoadedModuleList.Flink;
    for (ULONG i = 0; i < MAXIMUM_MODULES && Entry != (ULONG64)&PsLoadedModuleList; i++) {
        if (!IsReadable(Entry, sizeof(KLDR_DATA_TABLE_ENTRY))) {
            return;
        }
        Choose(Entry, sizeof(KLDR_DATA_TABLE_ENTRY));
        Entry = (ULONG64)((PLIST_ENTRY)Entry)->Flink;
    }
}

/* The machine, its command line, and the time of its start. */
static VOID ChooseMachine(VOID) {
    Choose((ULONG64)&HalFeatures, sizeof(HalFeatures));
    Choose((ULONG64)&KeSeed, sizeof(KeSeed));
    Choose((ULONG64)&KeBootInfo, sizeof(KeBootInfo));
    Choose((ULONG64)KeBootInfo, offsetof(BOOT_INFO, Range));
    Choose((ULONG64)&KiBootTime, sizeof(KiBootTime));
    Choose((ULONG64)&KiInterruptTime, sizeof(KiInterruptTime));
    Choose((ULONG64)&KiTickCount, sizeof(KiTickCount));
}

/* The newest events of a CPU's trace. */
static VOID ChooseTrace(const KPRCB *Prcb, ULONG64 Most) {
    ULONG64 Count = Prcb->TraceCount;
    for (ULONG64 Index = Count > Most ? Count - Most : 0; Index < Count; Index++) {
        const KTRACE_EVENT *Event = KdFindTraceEvent(Prcb, Index);
        if (Event != NULL) {
            Choose((ULONG64)Event, sizeof(*Event));
        }
    }
}

/* Begins anew. Dying, at HIGH_LEVEL. */
VOID KdChooseForSmallDump(VOID) {
    KD_DUMP_HEADER Bug;
    KD_REGISTERS Registers;
    PartCount = 0;
    ChosenBytes = 0;
    KiDescribeForDump(&Bug);
    KiChooseForDump(Choose);
    Choose((ULONG64)KiProcessorBlock, sizeof(KiProcessorBlock));
    Choose((ULONG64)&KeNumberProcessors, sizeof(KeNumberProcessors));
    Choose((ULONG64)&KiDispatcherLock, sizeof(KiDispatcherLock));
    ChooseGuilty(&Bug);
    ChooseModules();
    ChooseProcessor(Bug.GuiltyProcessor);
    for (ULONG Number = 0; Number < Bug.ProcessorCount; Number++) {
        ChooseProcessor(Number);
    }
    for (ULONG Number = 0; Number < Bug.ProcessorCount; Number++) {
        if (Number != Bug.GuiltyProcessor) {
            KiQueryRegisters(Number, &Registers);
            ChooseWalk(&Registers, SHARE_OF_STACKS / Bug.ProcessorCount & ~(UNIT - 1));
        }
    }
    ChooseMachine();
    for (ULONG Number = 0; Number < Bug.ProcessorCount; Number++) {
        if (KiProcessorBlock[Number] != NULL) {
            ChooseTrace(KiProcessorBlock[Number], Number == Bug.GuiltyProcessor ? GUILTY_EVENTS : OTHER_EVENTS);
        }
    }
}

/* bugcheck.c: the machine's death: KeBugCheckEx and the way from there to the report.
 *
 *   rewrite    0xA becomes 0xD1 and its relatives, by where the instruction and the memory lie
 *   latch      one CPU wins and dies for all; others that want to die too wait to be frozen
 *   freeze     an NMI stops every other CPU wherever it is, and keeps its registers
 *   hand over  the steps that have registered run in their order (bugcheck.h): COM1, screen, dump, callbacks; the end
 *
 * The dying CPU allocates nothing, takes no lock and has a limit on every wait. If it faults in a step, that step is
 * lost, or the same path is taken again with a few lines instead of the report; a third fault halts. */
#include <bugcheck.h>

#include <arch.h>
#include <pagefault.h>
#include <trace.h>

#define FREEZE_LIMIT_MS 500
#define NO_PROCESSOR 0 /* the latch holds the number of the dying CPU + 1 */

/* Code that follows pointers which a driver can damage (kernel/sources.mk). */
extern const CHAR KiPoolCode[], KiPoolCodeEnd[], KiPageCode[], KiPageCodeEnd[], KiPteCode[], KiPteCodeEnd[];

ULONG_PTR KiBugCheckData[5];
BUG_STATE KiBug;
static volatile LONG KiDyingProcessor = NO_PROCESSOR;
static ULONG KiDyingDepth;
static volatile ULONG KiOtherCodes[MAXIMUM_PROCESSORS];
static UCHAR KiBugStack[KERNEL_STACK_SIZE] DECLSPEC_ALIGN(16); /* the dying thread's own may be used up */

/* ---- The rewrite: a page fault always says 0xA or 0x50; whose fault it is shows only now ---- */

static ULONG FindPlace(ULONG64 Address) {
    const CHAR *At = (const CHAR *)Address;
    ULONG Place = At >= KiPoolCode && At < KiPoolCodeEnd   ? InPoolCode
                  : At >= KiPageCode && At < KiPageCodeEnd ? InPageCode
                  : At >= KiPteCode && At < KiPteCodeEnd   ? InPteCode
                                                           : 0;
    for (BUG_FINDER *const *Find = KiBugFinders; Find < KiBugFindersEnd && Place == 0; Find++) {
        Place = (*Find)(Address);
    }
    return Place != 0 ? Place : InNothing;
}

/* The first row that matches counts; the order is NT's. */
static const struct {
    ULONG From;
    ULONG By, Of; /* BUG_PLACE: where the instruction lies, and what it touched */
    ULONG To;
    ULONG Execute; /* 0: the parameters stay. Else P2 is 0 for a read, 1 for a write, this for a fetch, and P4 is 0 */
} Rewrites[] = {
    {IRQL_NOT_LESS_OR_EQUAL, InPoolCode, Anywhere, DRIVER_CORRUPTED_EXPOOL, 0},
    {IRQL_NOT_LESS_OR_EQUAL, InPageCode, Anywhere, DRIVER_CORRUPTED_MMPOOL, 0},
    {IRQL_NOT_LESS_OR_EQUAL, InPteCode, Anywhere, DRIVER_CORRUPTED_SYSPTES, 0},
    {IRQL_NOT_LESS_OR_EQUAL, NotInKernel, Anywhere, DRIVER_IRQL_NOT_LESS_OR_EQUAL, 0},
    {IRQL_NOT_LESS_OR_EQUAL, Anywhere, InDriver, DRIVER_PORTION_MUST_BE_NONPAGED, 0},
    {IRQL_NOT_LESS_OR_EQUAL, Anywhere, InUnloadedDriver, SYSTEM_SCAN_AT_RAISED_IRQL_CAUGHT_IMPROPER_DRIVER_UNLOAD, 0},
    {PAGE_FAULT_IN_NONPAGED_AREA, NotInKernel, InFreedBlock, DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL, 8},
    {PAGE_FAULT_IN_NONPAGED_AREA, Anywhere, InFreedBlock, PAGE_FAULT_IN_FREED_SPECIAL_POOL, 8},
    {PAGE_FAULT_IN_NONPAGED_AREA, NotInKernel, BeyondBlock, DRIVER_PAGE_FAULT_BEYOND_END_OF_ALLOCATION, 8},
    {PAGE_FAULT_IN_NONPAGED_AREA, Anywhere, BeyondBlock, PAGE_FAULT_BEYOND_END_OF_ALLOCATION, 8},
    {PAGE_FAULT_IN_NONPAGED_AREA, InUnloadedDriver, Anywhere, DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS,
     0x10},
    {PAGE_FAULT_IN_NONPAGED_AREA, Anywhere, InUnloadedDriver, DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS,
     0x10},
};

static VOID Rewrite(ULONG_PTR *Data, PKTRAP_FRAME Frame) {
    ULONG i = 0, By = FindPlace(Frame->Rip);
    while (i < RTL_NUMBER_OF(Rewrites) && !(Data[0] == Rewrites[i].From && By & Rewrites[i].By &&
                                            (Rewrites[i].Of == Anywhere || FindPlace(Data[1]) & Rewrites[i].Of))) {
        i++;
    }
    if (i < RTL_NUMBER_OF(Rewrites)) {
        Data[0] = Rewrites[i].To;
        if (Rewrites[i].Execute != 0) {
            Data[2] = Data[2] & FAULT_FETCH ? Rewrites[i].Execute : Data[2] & FAULT_WRITE ? AccessWrite : AccessRead;
            Data[4] = 0;
        }
    }
}

/* ---- The latch and the freeze ---- */

/* NULL before this CPU has a control block. */
static PKPRCB FindPrcb(VOID) {
    return __readmsr(MSR_GS_BASE) ? KeGetCurrentPrcb() : NULL;
}

BOOLEAN KiIsDying(VOID) {
    return KiDyingProcessor != NO_PROCESSOR;
}

ULONG KiOtherBugCheck(ULONG Processor) {
    return KiOtherCodes[Processor];
}

/* Returns on the CPU that dies for all, each time it gets here; any other waits here for the winner's NMI. */
static VOID WinLatch(ULONG Number, ULONG Code) {
    LONG Winner = InterlockedCompareExchange(&KiDyingProcessor, (LONG)Number + 1, NO_PROCESSOR);
    if (Winner == NO_PROCESSOR || Winner == (LONG)Number + 1) {
        KiDyingDepth++;
        return;
    }
    KiOtherCodes[Number] = Code;
    HalHalt();
}

/* From the NMI, on each CPU. Returns if no CPU is dying, or if it hit the dying CPU itself. */
VOID KiFreezeInterrupt(PKTRAP_FRAME Frame) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    if (!KiIsDying() || KiDyingProcessor == (LONG)Prcb->Number + 1) {
        return;
    }
    Prcb->DebuggerSavedIRQL = (KIRQL)Frame->PreviousIrql;
    Prcb->FreezeFrame = Frame;
    KiSetIrql(HIGH_LEVEL);
    __atomic_store_n(&Prcb->IsFrozen, TRUE, __ATOMIC_RELEASE); /* pairs with the acquire in FreezeOthers */
    HalHalt();
}

/* A CPU that does not answer in time is left alone and shows in the report as not frozen. */
static VOID FreezeOthers(VOID) {
    ULONG64 Hz = HalFeatures.TscHz ? HalFeatures.TscHz : 1000000000;
    ULONG64 Limit = Hz / 1000 * FREEZE_LIMIT_MS;
    for (ULONG i = 0; i < KeNumberProcessors; i++) {
        if (i != KiBug.Processor) {
            HalRequestNmi(i);
        }
    }
    ULONG64 Start = HalReadTsc();
    for (ULONG i = 0; i < KeNumberProcessors; i++) {
        while (i != KiBug.Processor && !__atomic_load_n(&KiProcessorBlock[i]->IsFrozen, __ATOMIC_ACQUIRE) &&
               HalReadTsc() - Start < Limit) {
            YieldProcessor();
        }
    }
}

/* ---- The hand-over ---- */

/* From a function's frame: [0] its caller's rbp, [1] its return address, above them the stack of the caller. */
static BUG_SPOT CallerOf(const ULONG64 *StackFrame) {
    return (BUG_SPOT){.Rip = StackFrame[1], .Rbp = StackFrame[0], .Rsp = (ULONG64)(StackFrame + 2)};
}

static VOID RecordState(const ULONG_PTR *Data, PKTRAP_FRAME Frame, BUG_SPOT Place, PKPRCB Prcb, KIRQL Irql) {
    KiBug.Code = (ULONG)Data[0];
    memcpy(KiBugCheckData, Data, sizeof(KiBugCheckData));
    memcpy(KiBug.Parameter, Data + 1, sizeof(KiBug.Parameter));
    KiBug.Frame = Frame;
    KiBug.Rip = Place.Rip;
    KiBug.Rbp = Place.Rbp;
    KiBug.Rsp = Place.Rsp;
    KiBug.Cr2 = __readcr2();
    KiBug.Irql = Irql;
    KiBug.Prcb = Prcb;
    KiBug.Processor = Prcb ? Prcb->Number : 0;
    KiBug.Thread = Prcb ? Prcb->CurrentThread : NULL;
    if (Prcb != NULL) {
        KdTrace(TraceBugCheck, 0, Data[0], Data[1], KiBug.Rip);
    }
}

/* Entered once for the bugcheck, and again for each fault while dying. */
static DECLSPEC_NORETURN VOID Die(ULONG_PTR *Data, PKTRAP_FRAME Frame, BUG_SPOT Place, const KD_REGISTERS *Registers) {
    KIRQL Irql = Frame ? (KIRQL)Frame->PreviousIrql : KiCurrentIrql();
    _disable();
    KiSetIrql(HIGH_LEVEL);
    PKPRCB Prcb = FindPrcb();
    WinLatch(Prcb ? Prcb->Number : 0, (ULONG)Data[0]);
    if (KiDyingDepth == 1) {
        if (Frame != NULL) {
            Rewrite(Data, Frame);
        }
        RecordState(Data, Frame, Place, Prcb, Irql);
        KiBug.Registers = *Registers;
        FreezeOthers();
        KiCallOnStack((ULONG64)(KiBugStack + KERNEL_STACK_SIZE), KiRunBugSteps);
    } else if (KiDyingDepth == 2) {
        /* The next step may fault too. */
        KiDyingDepth -= KiLoseBugStep((ULONG)Data[0], Place.Rip, Frame ? Frame->FaultAddress : 0);
        KiRunBugSteps();
    }
    HalHalt();
}

/* Stops the machine because of a trap: the trap handler's KeBugCheckEx. Any IRQL, any locks. */
DECLSPEC_NORETURN VOID KiBugCheckFromTrap(ULONG Code, ULONG_PTR P1, ULONG_PTR P2, ULONG_PTR P3, ULONG_PTR P4,
                                          PKTRAP_FRAME Frame) {
    ULONG_PTR Data[5] = {Code, P1, P2, P3, P4};
    const KD_REGISTERS Registers = {0}; /* the frame has them */
    Die(Data, Frame, (BUG_SPOT){.Rip = Frame->Rip, .Rbp = Frame->Rbp, .Rsp = Frame->Rsp}, &Registers);
}

/* Stops the machine. Any IRQL, any locks; documented in the WDK under KeBugCheckEx. */
DECLSPEC_NORETURN VOID KeBugCheckEx(ULONG Code, ULONG_PTR P1, ULONG_PTR P2, ULONG_PTR P3, ULONG_PTR P4) {
    ULONG_PTR Data[5] = {Code, P1, P2, P3, P4};
    KD_REGISTERS Registers = {.OriginalRax = ~0ULL, .SegCs = SELECTOR_KERNEL_CODE, .SegSs = SELECTOR_KERNEL_DATA};
    HAL_CAPTURE_REGISTERS(Registers);
    Die(Data, NULL, CallerOf(__builtin_frame_address(0)), &Registers);
}

/* Stops the machine, without parameters. Any IRQL, any locks. */
DECLSPEC_NORETURN VOID KeBugCheck(ULONG Code) {
    ULONG_PTR Data[5] = {Code, 0, 0, 0, 0};
    KD_REGISTERS Registers = {.OriginalRax = ~0ULL, .SegCs = SELECTOR_KERNEL_CODE, .SegSs = SELECTOR_KERNEL_DATA};
    HAL_CAPTURE_REGISTERS(Registers);
    Die(Data, NULL, CallerOf(__builtin_frame_address(0)), &Registers);
}

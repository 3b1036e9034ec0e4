/* bugcheck.c: how the machine dies: KeBugCheckEx and the way from there to the last instruction.
 *
 *   rewrite    0xA becomes 0xD1 and its relatives, by where the instruction and the memory lie
 *   latch      one CPU wins and dies for all; others that want to die too wait to be frozen
 *   freeze     an NMI stops every other CPU wherever it is, and keeps its registers
 *   report     on COM1, then on the screen; then the verdict on COM2, and the end
 *
 * The dying CPU allocates nothing, takes no lock and waits for nobody without a limit. If it faults while it reports,
 * the same way is taken again with a few lines instead of the report; a third fault halts. */
#include "bug.h"

#include <arch.h>
#include <ldr.h>
#include <mm.h>
#include <rtl.h>
#include <story.h>
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

/* ---- The rewrite ---- */

/* The page-fault handler always says 0xA; whose fault it is shows only now. The order of the tests is NT's. */
static ULONG RewriteIrqlCode(ULONG64 Address, ULONG64 Rip) {
    if (Rip >= (ULONG64)KiPoolCode && Rip < (ULONG64)KiPoolCodeEnd) {
        return DRIVER_CORRUPTED_EXPOOL;
    }
    if (Rip >= (ULONG64)KiPageCode && Rip < (ULONG64)KiPageCodeEnd) {
        return DRIVER_CORRUPTED_MMPOOL;
    }
    if (Rip >= (ULONG64)KiPteCode && Rip < (ULONG64)KiPteCodeEnd) {
        return DRIVER_CORRUPTED_SYSPTES;
    }
    if (!LdrIsKernelAddress(Rip)) {
        return DRIVER_IRQL_NOT_LESS_OR_EQUAL;
    }
    if (LdrFindModule(Address) && !LdrIsKernelAddress(Address)) {
        return DRIVER_PORTION_MUST_BE_NONPAGED;
    }
    if (LdrFindUnloadedModule(Address)) {
        return SYSTEM_SCAN_AT_RAISED_IRQL_CAUGHT_IMPROPER_DRIVER_UNLOAD;
    }
    return IRQL_NOT_LESS_OR_EQUAL;
}

/* A fault in special pool: in a freed block or past the end of one, by the kernel or by a driver; 0: it is another's. */
static ULONG RewriteSpecialPool(ULONG64 Address, ULONG64 Rip) {
    const MM_SPECIAL_BLOCK *Block = MmFindSpecialBlock(Address);
    if (Block == NULL || Block->State == SpecialNever) {
        return 0;
    }
    if (Block->State == SpecialFreed && Address - (ULONG64)PAGE_ALIGN(Block->Start) < PAGE_SIZE) {
        return LdrIsKernelAddress(Rip) ? PAGE_FAULT_IN_FREED_SPECIAL_POOL : DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL;
    }
    return LdrIsKernelAddress(Rip) ? PAGE_FAULT_BEYOND_END_OF_ALLOCATION : DRIVER_PAGE_FAULT_BEYOND_END_OF_ALLOCATION;
}

static VOID Rewrite(ULONG_PTR *Data, PKTRAP_FRAME Frame) {
    if (Data[0] == IRQL_NOT_LESS_OR_EQUAL && Frame) {
        Data[0] = RewriteIrqlCode(Data[1], Data[4]);
    } else if (Data[0] == PAGE_FAULT_IN_NONPAGED_AREA && Frame) {
        Data[3] = Frame->Rip;
        ULONG Special = RewriteSpecialPool(Data[1], Frame->Rip);
        if (Special != 0) {
            Data[0] = Special;
            Data[2] = Data[2] == 2 ? 1 : Data[2] == 0x10 ? 8 : 0;
            Data[4] = 0;
        } else if (LdrFindUnloadedModule(Data[1]) || LdrFindUnloadedModule(Frame->Rip)) {
            Data[0] = DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS;
            Data[2] = Data[2] == 2 ? 1 : Data[2]; /* this code counts 0 read, 1 write, 0x10 execute */
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

/* Returns on the CPU that dies for all, each time that it comes; any other waits here for the winner's NMI. */
static VOID WinLatch(ULONG Number, ULONG Code) {
    LONG Winner = InterlockedCompareExchange(&KiDyingProcessor, (LONG)Number + 1, NO_PROCESSOR);
    if (Winner == NO_PROCESSOR || Winner == (LONG)Number + 1) {
        KiDyingDepth++;
        return;
    }
    KiOtherCodes[Number] = Code;
    HalHalt();
}

/* From the NMI, on each CPU. Returns if nobody dies, or if it hit the dying CPU itself. */
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

/* ---- The report and the end ---- */

static VOID ReportAndEnd(VOID) {
    KiReportOnSerial();
    KiReportOnScreen();
    KiNoteStopped();
    KdWriteDump();
    KiRunBugCheckCallbacks();
    KeEndMachine("bugcheck", KiIsExpectedBugCheck(KiBug.Code));
}

/* A fault while the dump was written: the report is out, and only the dump is lost. */
static VOID EndWithoutDump(ULONG Code, ULONG64 Rip, ULONG64 FaultAddress) {
    KdDumpFaulted(Code, Rip, FaultAddress);
    KiDyingDepth = 1; /* the callbacks may fault too */
    KiRunBugCheckCallbacks();
    KeEndMachine("bugcheck", KiIsExpectedBugCheck(KiBug.Code));
}

/* A fault while dying: straight to the UART, nothing that could have been what faulted. */
static VOID ReportLess(ULONG Code, ULONG64 Rip, ULONG64 FaultAddress) {
    static CHAR Line[400];
    RtlFormat(
        Line, sizeof(Line),
        "\n*** STOP 0x%08X (0x%016llX, 0x%016llX, 0x%016llX, 0x%016llX)\n*** at 0x%016llX on CPU %u; while dying: "
        "0x%08X at 0x%016llX, address 0x%016llX\n",
        KiBug.Code, KiBug.Parameter[0], KiBug.Parameter[1], KiBug.Parameter[2], KiBug.Parameter[3], KiBug.Rip,
        KiBug.Processor, Code, Rip, FaultAddress);
    HalSerialPut(1, Line);
    KdEnterDying(); /* it may have come to less than that */
    KeEndMachine("bugcheck", FALSE);
}

/* Where the machine died: the three registers that a stack walk needs. */
typedef struct _BUG_PLACE {
    ULONG64 Rip, Rbp, Rsp;
} BUG_PLACE;

/* From a function's frame: [0] its caller's rbp, [1] its return address, above them the stack of the caller. */
static BUG_PLACE CallerOf(const ULONG64 *StackFrame) {
    return (BUG_PLACE){.Rip = StackFrame[1], .Rbp = StackFrame[0], .Rsp = (ULONG64)(StackFrame + 2)};
}

/* What a debugger needs of a function to unwind from it: where it is, and the registers that it keeps for its caller. A
 * macro, because a debugger would show an inlined function as a frame of its own. */
#define CAPTURE_REGISTERS(Now)                                                                                   \
    __asm__ volatile("mov %%r15, %0\n\tmov %%r14, %1\n\tmov %%r13, %2\n\tmov %%r12, %3\n\t"                      \
                     "mov %%rbp, %4\n\tmov %%rbx, %5\n\tmov %%rsp, %6\n\t"                                       \
                     "lea 0f(%%rip), %%rax\n0:\tmov %%rax, %7\n\tpushfq\n\tpop %%rax\n\tmov %%rax, %8"           \
                     : "=m"(Now.R15), "=m"(Now.R14), "=m"(Now.R13), "=m"(Now.R12), "=m"(Now.Rbp), "=m"(Now.Rbx), \
                       "=m"(Now.Rsp), "=m"(Now.Rip), "=m"(Now.EFlags)                                            \
                     :                                                                                           \
                     : "rax")

static VOID RecordState(const ULONG_PTR *Data, PKTRAP_FRAME Frame, BUG_PLACE Place, PKPRCB Prcb, KIRQL Irql) {
    KiBug.Code = (ULONG)Data[0];
    memcpy(KiBugCheckData, Data, sizeof(KiBugCheckData));
    memcpy(KiBug.Parameter, Data + 1, sizeof(KiBug.Parameter));
    KiBug.Frame = Frame;
    KiBug.Rip = Place.Rip;
    KiBug.Rbp = Place.Rbp;
    KiBug.Rsp = Place.Rsp;
    KiBug.Cr2 = __readcr2();
    KiBug.Irql = Frame ? (KIRQL)Frame->PreviousIrql : Irql;
    KiBug.Prcb = Prcb;
    KiBug.Processor = Prcb ? Prcb->Number : 0;
    KiBug.Thread = Prcb ? Prcb->CurrentThread : NULL;
}

/* Comes here once for the bugcheck, and again for each fault while dying. */
static DECLSPEC_NORETURN VOID Die(ULONG_PTR *Data, PKTRAP_FRAME Frame, BUG_PLACE Place, const KD_REGISTERS *Registers) {
    KIRQL Irql = KiCurrentIrql();
    _disable();
    KiSetIrql(HIGH_LEVEL);
    PKPRCB Prcb = FindPrcb();
    WinLatch(Prcb ? Prcb->Number : 0, (ULONG)Data[0]);
    if (KiDyingDepth == 1) {
        Rewrite(Data, Frame);
        RecordState(Data, Frame, Place, Prcb, Irql);
        KiBug.Registers = *Registers;
        if (Prcb != NULL) {
            KdTrace(TraceBugCheck, 0, Data[0], Data[1], Place.Rip);
        }
        FreezeOthers();
        KdEnterDying();
        KiCallOnStack((ULONG64)(KiBugStack + KERNEL_STACK_SIZE), ReportAndEnd);
    } else if (KiDyingDepth == 2 && KdIsDumping()) {
        EndWithoutDump((ULONG)Data[0], Place.Rip, Frame ? Frame->FaultAddress : 0);
    } else if (KiDyingDepth == 2) {
        ReportLess((ULONG)Data[0], Place.Rip, Frame ? Frame->FaultAddress : 0);
    }
    HalHalt();
}

/* Stops the machine because of a trap: the trap handler's KeBugCheckEx. Any IRQL, any locks. */
DECLSPEC_NORETURN VOID KiBugCheckFromTrap(ULONG Code, ULONG_PTR P1, ULONG_PTR P2, ULONG_PTR P3, ULONG_PTR P4,
                                          PKTRAP_FRAME Frame) {
    ULONG_PTR Data[5] = {Code, P1, P2, P3, P4};
    const KD_REGISTERS Registers = {0}; /* the frame has them */
    Die(Data, Frame, (BUG_PLACE){.Rip = Frame->Rip, .Rbp = Frame->Rbp, .Rsp = Frame->Rsp}, &Registers);
}

/* Stops the machine. Any IRQL, any locks; documented in the WDK under KeBugCheckEx. */
DECLSPEC_NORETURN VOID KeBugCheckEx(ULONG Code, ULONG_PTR P1, ULONG_PTR P2, ULONG_PTR P3, ULONG_PTR P4) {
    ULONG_PTR Data[5] = {Code, P1, P2, P3, P4};
    KD_REGISTERS Registers = {.OriginalRax = ~0ULL, .SegCs = SELECTOR_KERNEL_CODE, .SegSs = SELECTOR_KERNEL_DATA};
    CAPTURE_REGISTERS(Registers);
    Die(Data, NULL, CallerOf(__builtin_frame_address(0)), &Registers);
}

/* Stops the machine, without parameters. Any IRQL, any locks. */
DECLSPEC_NORETURN VOID KeBugCheck(ULONG Code) {
    ULONG_PTR Data[5] = {Code, 0, 0, 0, 0};
    KD_REGISTERS Registers = {.OriginalRax = ~0ULL, .SegCs = SELECTOR_KERNEL_CODE, .SegSs = SELECTOR_KERNEL_DATA};
    CAPTURE_REGISTERS(Registers);
    Die(Data, NULL, CallerOf(__builtin_frame_address(0)), &Registers);
}

/* bugdump.c: the bugcheck's part of the crash dump: its code in words, and each CPU's registers.
 *
 * The guilty CPU's are those of the trap frame. Where a call of KeBugCheckEx was the end, they are those that this
 * function found: the ones that a callee keeps, and its own place, so that a debugger unwinds from there as usual.
 * The other CPUs' are those that the freeze interrupted. */
#include <bugreport.h>

#include <arch.h>
#include <dump.h>
#include <ldr.h>
#include <rtl.h>

static VOID TakeFrame(PKD_REGISTERS Registers, const KTRAP_FRAME *Frame) {
    *Registers = (KD_REGISTERS){.R15 = Frame->R15,
                                .R14 = Frame->R14,
                                .R13 = Frame->R13,
                                .R12 = Frame->R12,
                                .Rbp = Frame->Rbp,
                                .Rbx = Frame->Rbx,
                                .R11 = Frame->R11,
                                .R10 = Frame->R10,
                                .R9 = Frame->R9,
                                .R8 = Frame->R8,
                                .Rax = Frame->Rax,
                                .Rcx = Frame->Rcx,
                                .Rdx = Frame->Rdx,
                                .Rsi = Frame->Rsi,
                                .Rdi = Frame->Rdi,
                                .OriginalRax = ~0ULL,
                                .Rip = Frame->Rip,
                                .SegCs = Frame->SegCs,
                                .EFlags = Frame->EFlags,
                                .Rsp = Frame->Rsp,
                                .SegSs = Frame->SegSs};
}

/* Any CPU that has a control block; see dump.h. */
VOID KiQueryRegisters(ULONG Processor, PKD_REGISTERS Registers) {
    PKPRCB Prcb = KiProcessorBlock[Processor];
    memset(Registers, 0, sizeof(*Registers));
    if (Processor == KiBug.Processor) {
        if (KiBug.Frame) {
            TakeFrame(Registers, KiBug.Frame);
        } else {
            *Registers = KiBug.Registers;
        }
    } else if (KiIsReadable(Prcb, sizeof(KPRCB)) && Prcb->IsFrozen &&
               KiIsReadable(Prcb->FreezeFrame, sizeof(KTRAP_FRAME))) {
        TakeFrame(Registers, Prcb->FreezeFrame);
    }
    if (Prcb) {
        Registers->GsBase = (ULONG64)CONTAINING_RECORD(Prcb, KPCR, Prcb);
    }
}

/* ---- Where drivers were stopped ---- */

#define MAXIMUM_STOPPED 16
#define MAXIMUM_NOTED_FRAMES 64 /* of one CPU */

/* An instruction of a driver that a fault or an interrupt has stopped, and where its caller's frame is. A GDB without
 * the driver's symbols looks here (kernel/dump/drivercfi.asm): it cannot know whether the function has a frame. */
typedef struct _STOPPED {
    ULONG64 Rip, Rsp;
    ULONG64 CallerRsp, CallerRbp;
} STOPPED;
STOPPED KiStopped[MAXIMUM_STOPPED];
C_ASSERT(sizeof(KiStopped) == 512); /* drivercfi.asm */
static ULONG StoppedCount;

static VOID NoteStopped(const KTRAP_FRAME *Trap) {
    static KD_FRAME Frames[MAXIMUM_NOTED_FRAMES]; /* too large for a stack that may be nearly full */
    ULONG Count = KdWalkTrap(Trap, Frames, MAXIMUM_NOTED_FRAMES);
    for (KD_FRAME *Frame = Frames; Frame + 1 < Frames + Count && StoppedCount < MAXIMUM_STOPPED; Frame++) {
        if (Frame->IsTrap && !LdrIsKernelAddress(Frame->Rip)) {
            KiStopped[StoppedCount++] = (STOPPED){Frame->Rip, Frame->Rsp, Frame[1].Rsp, Frame[1].Rbp};
        }
    }
}

static VOID NoteAllStopped(VOID) {
    if (KiBug.Frame != NULL) {
        NoteStopped(KiBug.Frame);
    }
    for (ULONG i = 0; i < KiProcessorCount(); i++) {
        const KPRCB *Prcb = KiProcessorBlock[i];
        if (Prcb != NULL && Prcb->IsFrozen && KiIsReadable(Prcb->FreezeFrame, sizeof(KTRAP_FRAME))) {
            NoteStopped(Prcb->FreezeFrame);
        }
    }
}

KE_BUG_STEP(30, NoteAllStopped, NULL);

/* ---- The dump ---- */

VOID KiDescribeForDump(PKD_DUMP_HEADER Header) {
    Header->BugCheckCode = KiBug.Code;
    memcpy(Header->BugCheckParameter, KiBug.Parameter, sizeof(Header->BugCheckParameter));
    Header->GuiltyProcessor = KiBug.Processor;
    Header->ProcessorCount = KiProcessorCount();
    RtlFormat(Header->Scenario, sizeof(Header->Scenario), "%s", KiEndName);
}

int KiFormatForDump(PCHAR Buffer, SIZE_T Bytes) {
    return RtlFormat(Buffer, Bytes, "0x%X %s", KiBug.Code, KiFindBugCode(KiBug.Code)->Name);
}

/* The bugcheck's own state, for a small dump. */
VOID KiChooseForDump(VOID (*Choose)(ULONG64 Address, ULONG64 Bytes)) {
    Choose((ULONG64)&KiBug, sizeof(KiBug));
    Choose((ULONG64)KiBugCheckData, sizeof(KiBugCheckData));
    Choose((ULONG64)KiStopped, sizeof(KiStopped));
    Choose((ULONG64)KiBug.Frame, sizeof(KTRAP_FRAME));
    Choose((ULONG64)KiBug.Thread, sizeof(KTHREAD));
}

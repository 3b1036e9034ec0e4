/* bugreport.c: the parts of the report: what, why, the parameters, the stack, the machine, the cure.
 *
 * Each part prints into a window, so that COM1 and the screen show the same words in their own widths. */
#include "bug.h"

#include <mm.h>
#include <rtl.h>
#include <story.h>

#define MAXIMUM_FRAMES 40
#define SERIAL_COLUMNS 110
#define SERIAL_FRAMES 30
#define TEXT_BYTES 400
#define WIDE_ENOUGH_FOR_ADDRESSES 70

static KD_FRAME Frames[MAXIMUM_FRAMES];
static CHAR Text[TEXT_BYTES];

/* ---- What ---- */

VOID KiReportStop(BUG_WINDOW *Window) {
    const BUG_CODE *Row = KiFindBugCode(KiBug.Code);
    if (Window->Target == WindowSerial) {
        KiBugPrint(Window, 4, "*** STOP 0x%08X %s", KiBug.Code, Row->Name);
        KiBugPrint(Window, 4, "*** (0x%016llX, 0x%016llX, 0x%016llX, 0x%016llX)", KiBug.Parameter[0], KiBug.Parameter[1],
                   KiBug.Parameter[2], KiBug.Parameter[3]);
    }
    Text[0] = 0;
    if (KiBug.Thread && KiIsReadable(KiBug.Thread, sizeof(KTHREAD))) {
        KiAppend(Text, sizeof(Text), ", thread '%.23s'", KiBug.Thread->Name);
    }
    if (KiBug.Prcb && KiBug.Prcb->DpcRoutineActive) {
        KiAppend(Text, sizeof(Text), " (interrupted: a DPC runs)");
    }
    KiBugPrint(Window, 4, "CPU %u of %u%s, IRQL %u %s%s", KiBug.Processor, KeNumberProcessors, Text, KiBug.Irql,
               KiIrqlName(KiBug.Irql), KiBug.Frame ? "" : ", raised by a call of KeBugCheckEx");
}

VOID KiReportWhy(BUG_WINDOW *Window) {
    if (Window->Target == WindowSerial) {
        KiBugPrint(Window, 0, "");
    }
    KiBugPrint(Window, 0, "%s", KiFindBugCode(KiBug.Code)->Why);
}

/* ---- The parameters ---- */

static VOID ReportParameter(BUG_WINDOW *Window, ULONG Index) {
    PCSTR Meaning;
    BUG_KIND Kind = KiParameterKind(Index, &Meaning);
    KiDecodeParameter(Index, Text, sizeof(Text));
    PCSTR Separator = Text[0] && Meaning[0] ? ": " : "";
    if (Kind == KindUNUSED) {
        KiBugPrint(Window, 24, INK_DIM "  %u  %016llX  %s", Index + 1, KiBug.Parameter[Index], "not used");
        return;
    }
    KiBugPrint(Window, 23, INK_DIM "  %u  " INK_TEXT "%016llX  " INK_DIM "%s%s" INK_TEXT "%s", Index + 1,
               KiBug.Parameter[Index], Meaning, Separator, Text);
}

VOID KiReportParameters(BUG_WINDOW *Window) {
    KiBugHeading(Window, "The four parameters");
    for (ULONG Index = 0; Index < 4; Index++) {
        ReportParameter(Window, Index);
    }
}

/* ---- The stack ---- */

/* The guilty CPU is the one that died, except when a watchdog found that another one hangs. */
static ULONG CollectFrames(PCSTR *Note) {
    static CHAR NoteText[48];
    ULONG Number = (ULONG)KiBug.Parameter[3];
    PKPRCB Hung = KiBug.Code == CLOCK_WATCHDOG_TIMEOUT && Number < KeNumberProcessors ? KiProcessorBlock[Number] : NULL;
    *Note = NoteText;
    if (Hung && Hung->FreezeFrame) {
        RtlFormat(NoteText, sizeof(NoteText), "Stack of CPU %u, which hangs", Number);
        return KdWalkTrap(Hung->FreezeFrame, Frames, MAXIMUM_FRAMES);
    }
    RtlFormat(NoteText, sizeof(NoteText), "Stack of CPU %u, innermost first", KiBug.Processor);
    if (KiBug.Frame) {
        return KdWalkTrap(KiBug.Frame, Frames, MAXIMUM_FRAMES);
    }
    ULONG Count = KdWalkStack(KiBug.Rip, KiBug.Rbp, Frames, MAXIMUM_FRAMES);
    Frames[0].IsTrap = FALSE; /* where KeBugCheckEx would have returned to */
    return Count;
}

/* The first frame outside the kernel is the one to look at; Count when all is kernel. */
static ULONG FindGuiltyFrame(ULONG Count) {
    for (ULONG Index = 0; Index < Count; Index++) {
        KD_SYMBOL Symbol;
        if (KdLookupAddress(Frames[Index].Rip - (Frames[Index].IsTrap ? 0 : 1), &Symbol) && strcmp(Symbol.Module, "nt") != 0) {
            return Index;
        }
    }
    return Count;
}

VOID KiFormatGuiltyFrame(PCHAR Buffer, SIZE_T Bytes) {
    PCSTR Note;
    ULONG Count = CollectFrames(&Note), Guilty = FindGuiltyFrame(Count);
    Buffer[0] = 0;
    if (Count > 0) {
        KdFormatFrame(Buffer, Bytes, &Frames[Guilty < Count ? Guilty : 0]);
    }
}

VOID KiReportStack(BUG_WINDOW *Window) {
    PCSTR Note;
    ULONG Count = CollectFrames(&Note), Guilty = FindGuiltyFrame(Count);
    BOOLEAN HasRoom = Window->Columns >= WIDE_ENOUGH_FOR_ADDRESSES;
    ULONG Limit = Window->Rows < SERIAL_FRAMES ? Window->Rows : SERIAL_FRAMES;
    KiBugHeading(Window, Note);
    for (ULONG Index = 0; Index < Count && Index < Limit; Index++) {
        KdFormatFrame(Text, sizeof(Text), &Frames[Index]);
        if (!HasRoom && strlen(Text) + 4 > Window->Columns && Window->Columns > 4) {
            Text[Window->Columns - 4] = 0;
        }
        PCSTR Ink = Index == Guilty ? INK_MARK ">" : " ", Trap = Frames[Index].IsTrap && Index > 0 ? "  <- trap here" : "";
        if (HasRoom) {
            KiBugPrint(Window, 24, INK_TEXT "%s%2u " INK_DIM "%016llX  %s%s%s", Ink, Index, Frames[Index].Rip,
                       Index == Guilty ? INK_MARK : INK_TEXT, Text, Trap);
        } else {
            KiBugPrint(Window, 5, INK_TEXT "%s%2u %s%s", Ink, Index, Text, Trap);
        }
    }
    if (Count == 0) {
        KiBugPrint(Window, 0, "  (no frame can be read)");
    }
}

/* ---- The machine ---- */

static VOID ReportFault(BUG_WINDOW *Window) {
    const KTRAP_FRAME *Frame = KiBug.Frame;
    if (Frame && Frame->Vector == 14) {
        KiDecodeErrorCode(Frame->ErrorCode, Text, sizeof(Text));
        KiBugPrint(Window, 7, INK_DIM "error  " INK_TEXT "%llX: %s", Frame->ErrorCode, Text);
        MMPTE Contents = 0;
        MmGetPageState(Frame->FaultAddress, &Contents);
        MmDescribePte(Contents, Text, sizeof(Text));
        KiBugPrint(Window, 7, INK_DIM "PTE    " INK_TEXT "%016llX: %s", Contents, Text);
    } else if (Frame) {
        KiBugPrint(Window, 7, INK_DIM "trap   " INK_TEXT "%llu, error code %llX", Frame->Vector, Frame->ErrorCode);
    }
}

static VOID ReportRegisters(BUG_WINDOW *Window) {
    const KTRAP_FRAME *F = KiBug.Frame;
    const struct {
        PCSTR Name;
        ULONG64 Value;
    } Register[] = {{"RIP", F->Rip}, {"RFL", F->EFlags}, {"RSP", F->Rsp}, {"RBP", F->Rbp}, {"RAX", F->Rax}, {"RBX", F->Rbx},
                    {"RCX", F->Rcx}, {"RDX", F->Rdx},    {"RSI", F->Rsi}, {"RDI", F->Rdi}, {"R8 ", F->R8},  {"R9 ", F->R9},
                    {"R10", F->R10}, {"R11", F->R11},    {"R12", F->R12}, {"R13", F->R13}, {"R14", F->R14}, {"R15", F->R15}};
    ULONG PerLine = Window->Columns >= 88 ? 4 : 2;
    for (ULONG i = 0; i < RTL_NUMBER_OF(Register); i += PerLine) {
        Text[0] = 0;
        for (ULONG j = i; j < i + PerLine && j < RTL_NUMBER_OF(Register); j++) {
            KiAppend(Text, sizeof(Text), INK_DIM "%s " INK_TEXT "%016llX  ", Register[j].Name, Register[j].Value);
        }
        Text[strlen(Text) - 2] = 0;
        KiBugPrint(Window, 4, "%s", Text);
    }
}

VOID KiReportMachine(BUG_WINDOW *Window) {
    KiBugHeading(Window, "The machine");
    KiBugPrint(Window, 7, INK_DIM "CR2    " INK_TEXT "%016llX" INK_DIM "  CR8 " INK_TEXT "%u, now %u",
               KiBug.Frame && KiBug.Frame->Vector == 14 ? KiBug.Frame->FaultAddress : KiBug.Cr2, KiBug.Irql, HIGH_LEVEL);
    ReportFault(Window);
    if (KiBug.Frame) {
        ReportRegisters(Window);
    } else {
        KiBugPrint(Window, 4, INK_DIM "RIP " INK_TEXT "%016llX  " INK_DIM "RSP " INK_TEXT "%016llX", KiBug.Rip, KiBug.Rsp);
        KiBugPrint(Window, 4, INK_DIM "RBP " INK_TEXT "%016llX", KiBug.Rbp);
    }
}

/* ---- The cure ---- */

VOID KiReportFix(BUG_WINDOW *Window) {
    MM_PAGE_STATE State = MmGetPageState(KiBug.Parameter[0], NULL);
    BOOLEAN IsPageable = State == PageInFile || State == PageTransition || State == PageDemandZero;
    BOOLEAN IsLatent = (KiBug.Code == DRIVER_IRQL_NOT_LESS_OR_EQUAL || KiBug.Code == IRQL_NOT_LESS_OR_EQUAL) && IsPageable;
    KiBugHeading(Window, "What to change");
    KiBugPrint(Window, 0, "%s", KiFindBugCode(KiBug.Code)->Fix);
    if (IsLatent && !KeGetBootOption("verifier", NULL, 0)) {
        KiBugPrint(Window, 0, "While the page is in memory, this works: luck. Boot with " INK_MARK "verifier" INK_TEXT
                   " and every raise to DISPATCH_LEVEL takes pageable memory away: the bug then shows every time.");
    }
}

VOID KiReportOnSerial(VOID) {
    BUG_WINDOW Window = {.Columns = SERIAL_COLUMNS, .Rows = MAXULONG, .Target = WindowSerial};
    KiBugPrint(&Window, 0, "");
    KiReportStop(&Window);
    KiReportWhy(&Window);
    KiReportParameters(&Window);
    KiReportStack(&Window);
    KiReportMachine(&Window);
    KiReportProcessors(&Window);
    KiReportFix(&Window);
    KiBugPrint(&Window, 0, "");
}

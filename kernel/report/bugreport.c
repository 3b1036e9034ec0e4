/* bugreport.c: the parts of the report: code, cause, parameters, stack, machine, cure.
 *
 * Each part prints into a window, so that COM1 and the screen show the same words in their own widths. */
#include <bugreport.h>

#include <arch.h>
#include <mm.h>
#include <rtl.h>
#include <ring.h>

#define MAXIMUM_FRAMES 256 /* a stack that ran over holds many */
#define SERIAL_COLUMNS 110
#define SERIAL_FRAMES 30
#define TEXT_BYTES 400
#define WIDE_ENOUGH_FOR_ADDRESSES 70

static KD_FRAME Frames[MAXIMUM_FRAMES];
static CHAR Text[TEXT_BYTES];
const KD_JUDGED *KdJudged;

/* ---- The code ---- */

static VOID PrintStop(BUG_WINDOW *Window) {
    const BUG_CODE *Row = KiFindBugCode(KiBug.Code);
    if (Window->Target == WindowSerial) {
        KiBugPrint(Window, 4, "*** STOP 0x%08X %s", KiBug.Code, Row->Name);
        KiBugPrint(Window, 4, "*** (0x%016llX, 0x%016llX, 0x%016llX, 0x%016llX)", KiBug.Parameter[0],
                   KiBug.Parameter[1], KiBug.Parameter[2], KiBug.Parameter[3]);
    }
    Text[0] = 0;
    if (KiBug.Thread && KiIsReadable(KiBug.Thread, sizeof(KTHREAD))) {
        KiAppend(Text, sizeof(Text), ", thread '%.23s'", KiBug.Thread->Name);
    }
    if (KiBug.Prcb && KiBug.Prcb->DpcRoutineActive) {
        KiAppend(Text, sizeof(Text), " (interrupted: a DPC runs)");
    }
    KiBugPrint(Window, 4, "CPU %u of %u%s, IRQL %u %s%s", KiBug.Processor, KiProcessorCount(), Text, KiBug.Irql,
               KiIrqlName(KiBug.Irql), KiBug.Frame ? "" : ", by a call of KeBugCheckEx");
}

static VOID PrintWhy(BUG_WINDOW *Window) {
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

static VOID PrintParameters(BUG_WINDOW *Window) {
    for (ULONG Index = 0; Index < 4; Index++) {
        ReportParameter(Window, Index);
    }
}

/* ---- The stack ---- */

/* The guilty CPU is the one that died, unless a watchdog found that another one hangs. */
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
    KD_FRAME Calling = {.Rip = KiBug.Rip, .Rsp = KiBug.Rsp, .Rbp = KiBug.Rbp}; /* of KeBugCheckEx */
    return KdWalkStack(&Calling, Frames, MAXIMUM_FRAMES);
}

static BOOLEAN IsDriverCode(ULONG64 Address) {
    KD_SYMBOL Symbol;
    return KdLookupAddress(Address, &Symbol) && strcmp(Symbol.Module, "nt") != 0;
}

/* The first frame outside the kernel is the one to look at; Count when all is kernel. */
static ULONG FindGuiltyFrame(ULONG Count) {
    ULONG Index = 0;
    while (Index < Count && !IsDriverCode(Frames[Index].Rip - (Frames[Index].IsTrap ? 0 : 1))) {
        Index++;
    }
    return Index;
}

static ULONG64 StartRoutineOf(const KTHREAD *Thread) {
    return KiIsReadable(Thread, sizeof(KTHREAD)) && Thread->Header.Type == ThreadObject ? (ULONG64)Thread->StartRoutine
                                                                                        : 0;
}

/* For damage found late (a thread's end, a worker's return, the reaper), with no driver on the stack: the routine of
 * the thread or the callback that the parameters name, or of the thread that died. 0: none is a driver's. */
static ULONG64 FindGuiltyRoutine(VOID) {
    PCSTR Meaning;
    for (ULONG Index = 0; Index < 4; Index++) {
        ULONG64 Value = KiBug.Parameter[Index];
        if (KiParameterKind(Index, &Meaning) == KindTHREAD) {
            Value = StartRoutineOf((const KTHREAD *)Value);
        }
        if (IsDriverCode(Value)) {
            return Value;
        }
    }
    ULONG64 Start = StartRoutineOf(KiBug.Thread);
    return IsDriverCode(Start) ? Start : 0;
}

VOID KiFormatGuiltyFrame(PCHAR Buffer, SIZE_T Bytes) {
    PCSTR Note;
    ULONG Count = CollectFrames(&Note), Guilty = FindGuiltyFrame(Count);
    ULONG64 Routine = Guilty < Count ? 0 : FindGuiltyRoutine();
    Buffer[0] = 0;
    if (Routine != 0) {
        KdFormatAddress(Buffer, Bytes, Routine);
    } else if (Guilty == Count && KdJudged != NULL && KdJudged->FormatRoutine(Buffer, Bytes)) {
        return;
    } else if (Count > 0) {
        KdFormatFrame(Buffer, Bytes, &Frames[Guilty < Count ? Guilty : 0]);
    }
}

static BOOLEAN IsJudged(ULONG64 Address) {
    return KdJudged != NULL && KdJudged->IsAddress(Address);
}

/* The first frame of a judged driver, where another module died on its behalf (the file system); else empty. */
VOID KiFormatCallingFrame(PCHAR Buffer, SIZE_T Bytes) {
    PCSTR Note;
    ULONG Count = CollectFrames(&Note), Guilty = FindGuiltyFrame(Count);
    Buffer[0] = 0;
    if (Guilty == Count || IsJudged(Frames[Guilty].Rip)) {
        return;
    }
    for (ULONG Index = Guilty; Index < Count; Index++) {
        if (IsJudged(Frames[Index].Rip)) {
            KdFormatFrame(Buffer, Bytes, &Frames[Index]);
            return;
        }
    }
}

/* How many frames from Index on are at the same place: a recursion. */
static ULONG CountRepeats(ULONG Index, ULONG Count) {
    ULONG Repeats = 1;
    while (Index + Repeats < Count && Frames[Index + Repeats].Rip == Frames[Index].Rip) {
        Repeats++;
    }
    return Repeats;
}

static VOID ReportFrame(BUG_WINDOW *Window, ULONG Index, BOOLEAN IsGuilty) {
    PCSTR Mark = IsGuilty ? INK_MARK ">" : " ", Ink = IsGuilty ? INK_MARK : INK_TEXT;
    KdFormatFrame(Text, sizeof(Text), &Frames[Index]);
    if (Frames[Index].IsTrap && Index > 0) {
        KiAppend(Text, sizeof(Text), INK_DIM "  <- trap here");
    }
    if (Window->Columns >= WIDE_ENOUGH_FOR_ADDRESSES) {
        KiBugPrint(Window, 24, INK_TEXT "%s%3u " INK_DIM "%016llX  %s%s", Mark, Index, Frames[Index].Rip, Ink, Text);
    } else {
        KiBugPrint(Window, 7, INK_TEXT "%s%3u %s%s", Mark, Index, Ink, Text);
    }
}

static VOID PrintStack(BUG_WINDOW *Window) {
    PCSTR Note;
    ULONG Count = CollectFrames(&Note), Guilty = FindGuiltyFrame(Count);
    ULONG Limit = Window->Row + (Window->Rows < SERIAL_FRAMES ? Window->Rows : SERIAL_FRAMES);
    Window->Title = Note;
    KiBugHeading(Window);
    for (ULONG Index = 0; Index < Count && Window->Row < Limit;) {
        ULONG Repeats = CountRepeats(Index, Count);
        ReportFrame(Window, Index, Index == Guilty);
        if (Repeats > 3) {
            KiBugPrint(Window, 0, INK_DIM "     ... the same %u times more: a recursion", Repeats - 1);
        }
        Index += Repeats > 3 ? Repeats : 1;
    }
    if (Count == 0) {
        KiBugPrint(Window, 0, "  (no frame can be read)");
    }
}

/* ---- CPUs that spin ---- */

static VOID ReportSpinning(BUG_WINDOW *Window, const KPRCB *Prcb) {
    ULONG64 Word = Prcb->SpinningWord;
    CHAR Place[160];
    if (KdFormatAddress(Place, sizeof(Place), (ULONG64)Prcb->SpinningOn) > 0 && Place[0] == '0') {
        MmDescribeAddress((ULONG64)Prcb->SpinningOn, Place, sizeof(Place));
    }
    KiBugPrint(Window, 4, "CPU %u waits for the spin lock %p (%s)", Prcb->Number, Prcb->SpinningOn, Place);
    if (Word > 1) {
        KiBugPrint(Window, 4, INK_MARK "    it held 0x%016llX, neither 0 (free) nor 1 (held): it was never initialised",
                   Word);
    }
}

static VOID PrintSpinLocks(BUG_WINDOW *Window) {
    for (ULONG Number = 0; Number < KiProcessorCount(); Number++) {
        const KPRCB *Prcb = KiProcessorBlock[Number];
        if (Prcb != NULL && Prcb->SpinningOn != NULL) {
            ReportSpinning(Window, Prcb);
        }
    }
}

/* ---- The machine ---- */

static VOID ReportFault(BUG_WINDOW *Window) {
    const KTRAP_FRAME *Frame = KiBug.Frame;
    if (Frame && Frame->Vector == VectorPageFault) {
        KiDecodeErrorCode(Frame->ErrorCode, Text, sizeof(Text));
        KiBugPrint(Window, 7, INK_DIM "CR2    " INK_TEXT "%016llX", Frame->FaultAddress);
        KiBugPrint(Window, 7, INK_DIM "error  " INK_TEXT "%llX: %s", Frame->ErrorCode, Text);
        MMPTE Contents = 0;
        MmGetPageState(Frame->FaultAddress, &Contents);
        MmDescribePte(Contents, Text, sizeof(Text));
        KiBugPrint(Window, 7, INK_DIM "PTE    " INK_TEXT "%016llX: %s", Contents, Text);
    } else if (Frame) {
        KiBugPrint(Window, 7, INK_DIM "trap   " INK_TEXT "0x%llX, error code %llX", Frame->Vector, Frame->ErrorCode);
        if (Frame->Vector == VectorDoubleFault) {
            KiBugPrint(Window, 7, INK_DIM "CR2    " INK_TEXT "%016llX, the fault before", KiBug.Cr2);
        }
    }
}

static VOID ReportRegisters(BUG_WINDOW *Window) {
    const KTRAP_FRAME *F = KiBug.Frame;
    const struct {
        PCSTR Name;
        ULONG64 Value;
    } Register[] = {{"RIP", F->Rip}, {"RFL", F->EFlags}, {"RSP", F->Rsp}, {"RBP", F->Rbp}, {"RAX", F->Rax},
                    {"RBX", F->Rbx}, {"RCX", F->Rcx},    {"RDX", F->Rdx}, {"RSI", F->Rsi}, {"RDI", F->Rdi},
                    {"R8 ", F->R8},  {"R9 ", F->R9},     {"R10", F->R10}, {"R11", F->R11}, {"R12", F->R12},
                    {"R13", F->R13}, {"R14", F->R14},    {"R15", F->R15}};
    ULONG PerLine = Window->Columns >= 88 ? 4 : 2;
    for (ULONG i = 0; i < RTL_NUMBER_OF(Register); i += PerLine) {
        Text[0] = 0;
        for (ULONG j = i; j < i + PerLine && j < RTL_NUMBER_OF(Register); j++) {
            KiAppend(Text, sizeof(Text), "%s" INK_DIM "%s " INK_TEXT "%016llX", j == i ? "" : "  ", Register[j].Name,
                     Register[j].Value);
        }
        KiBugPrint(Window, 4, "%s", Text);
    }
}

static VOID PrintMachine(BUG_WINDOW *Window) {
    KiBugPrint(Window, 7, INK_DIM "CR8    " INK_TEXT "%u %s, %u while dying", KiBug.Irql, KiIrqlName(KiBug.Irql),
               HIGH_LEVEL);
    ReportFault(Window);
    if (KiBug.Frame) {
        ReportRegisters(Window);
    } else {
        KiBugPrint(Window, 4, INK_DIM "RIP " INK_TEXT "%016llX  " INK_DIM "RSP " INK_TEXT "%016llX", KiBug.Rip,
                   KiBug.Rsp);
        KiBugPrint(Window, 4, INK_DIM "RBP " INK_TEXT "%016llX", KiBug.Rbp);
    }
}

/* ---- The cure ---- */

static VOID PrintFix(BUG_WINDOW *Window) {
    const KTRAP_FRAME *Frame = KiBug.Frame;
    ULONG64 Address = Frame && Frame->Vector == VectorPageFault ? Frame->FaultAddress : ~0ULL;
    MM_PAGE_STATE State = MmGetPageState(Address, NULL);
    if (Address < NULL_PAGES_END) {
        KiBugPrint(Window, 0,
                   "The address is near 0: the pointer itself is NULL, at any IRQL. Look at where it comes from: an "
                   "allocation that failed, a lookup that found nothing, a structure that was never filled in.");
        return;
    }
    KiBugPrint(Window, 0, "%s", KiFindBugCode(KiBug.Code)->Fix);
    BOOLEAN IsPageable = State == PageInFile || State == PageTransition || State == PageDemandZero;
    if (IsPageable && KiBug.Irql >= DISPATCH_LEVEL && KeVerifier == NULL) {
        KiBugPrint(Window, 0,
                   "While the page is in memory, this works: luck. Boot with " INK_MARK "verifier" INK_TEXT
                   " and every raise to DISPATCH_LEVEL takes pageable memory away: the bug then shows every time.");
    }
}

/* ---- COM1 ---- */

KE_REPORT_PART(10, AreaBand, NULL, PrintStop);
KE_REPORT_PART(20, AreaWhy, NULL, PrintWhy);
KE_REPORT_PART(30, AreaParameters, "The four parameters", PrintParameters);
KE_REPORT_PART(40, AreaLeft, NULL, PrintStack);
KE_REPORT_PART(50, AreaSerial, "Who spins", PrintSpinLocks);
KE_REPORT_PART(70, AreaRight, "The machine", PrintMachine);
KE_REPORT_PART(99, AreaFix, "What to change", PrintFix);

VOID KiPrintPart(const BUG_PART *Part, BUG_WINDOW *Window) {
    Window->Title = Part->Title;
    Part->Print(Window);
    Window->Title = NULL;
}

/* The first step. tools/kd stops a live machine here. */
VOID KiReportOnSerial(VOID) {
    BUG_WINDOW Window = {.Columns = SERIAL_COLUMNS, .Rows = MAXULONG, .Target = WindowSerial};
    KdEnterDying();
    KiBugPrint(&Window, 0, "");
    for (const BUG_PART *Part = KiReportParts; Part < KiReportPartsEnd; Part++) {
        KiPrintPart(Part, &Window);
    }
    KiBugPrint(&Window, 0, "");
}
KE_BUG_STEP(10, KiReportOnSerial, NULL);

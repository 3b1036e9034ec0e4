/* bugscreen.c: the blue screen: the report of bugreport.c laid out on the framebuffer.
 *
 *   +------------------------------------------------+
 *   | code and name, large; where                    |  band
 *   | why                                            |
 *   | the four parameters                            |
 *   | stack of the guilty CPU    | registers, PTE    |  takes the rows that are left
 *   | its last events            |                   |  where the stack leaves room
 *   | what each CPU was doing                        |
 *   | what to change                                 |
 *   | where the same text is                         |  foot
 *   +------------------------------------------------+
 * The lower parts are measured first, so that on a small screen the stack gives way and the advice stays. */
#include <bugreport.h>

#include <arch.h>
#include <rtl.h>

#define BLUE 0x00103A9Eu
#define BAND_BLUE 0x000A2770u
#define BAND_PIXELS 72 /* two rows of large letters, one row of text */
#define WIDE 110       /* columns */
#define TALL 45        /* rows */
#define MAXIMUM_CPU_ROWS 9
#define MINIMUM_STACK_ROWS 6
#define REGISTER_COLUMNS 44
#define MINIMUM_TRACE_ROWS 3 /* a heading and two events, where the stack leaves room */

static ULONG Columns, Rows; /* the screen's, in characters */
static ULONG Margin;        /* columns at the left and the right */

static BUG_WINDOW MakeWindow(ULONG Left, ULONG Top, ULONG Width, ULONG Height) {
    return (BUG_WINDOW){
        .Left = Left, .Top = Top, .Columns = Width, .Rows = Height, .Target = WindowScreen, .Paper = BLUE};
}

/* Prints the parts registered for an area. */
static VOID PrintArea(BUG_AREA Area, BUG_WINDOW *Window) {
    for (const BUG_PART *Part = KiReportParts; Part < KiReportPartsEnd; Part++) {
        if (Part->Area == Area) {
            KiPrintPart(Part, Window);
        }
    }
}

/* The rows that an area would use. */
static ULONG MeasureRows(BUG_AREA Area) {
    BUG_WINDOW Window = MakeWindow(0, 0, Columns - 2 * Margin, MAXULONG);
    Window.Target = WindowMeasure;
    PrintArea(Area, &Window);
    return Window.Row;
}

/* Draws an area over the whole width from row Top on; returns the row after it and one blank row. */
static ULONG DrawArea(BUG_AREA Area, ULONG Top, ULONG MaximumRows) {
    BUG_WINDOW Window = MakeWindow(Margin, Top, Columns - 2 * Margin, MaximumRows);
    PrintArea(Area, &Window);
    return Top + Window.Row + 1;
}

/* Prints a text in large letters from column Column on, if it fits; returns the column after it, or 0. */
static ULONG DrawLarge(ULONG Column, PCSTR Text, ULONG Ink) {
    if (Column + 2 * strlen(Text) > Columns) {
        return 0;
    }
    for (; *Text; Text++, Column += 2) {
        KdDrawLargeCharacter(Column, 1, (UCHAR)*Text, Ink, BAND_BLUE);
    }
    return Column;
}

/* The code as people say it ("0xD1") and the name, and below it where. */
static VOID DrawBand(VOID) {
    CHAR Code[16];
    PCSTR Name = KiFindBugCode(KiBug.Code)->Name;
    RtlFormat(Code, sizeof(Code), "0x%X", KiBug.Code);
    KdFillPixels(0, 0, HalFramebuffer.Width, BAND_PIXELS, BAND_BLUE);
    KdFillPixels(0, BAND_PIXELS, HalFramebuffer.Width, 2, KiBugInk(INK_MARK[0]));
    ULONG Column = DrawLarge(Margin, Code, KiBugInk(INK_MARK[0])) + 2;
    if (DrawLarge(Column, Name, KiBugInk(INK_TEXT[0])) == 0) {
        for (; *Name; Name++, Column++) {
            KdDrawCharacter(Column, 2, (UCHAR)*Name, KiBugInk(INK_TEXT[0]), BAND_BLUE);
        }
    }
    BUG_WINDOW Window = MakeWindow(Margin, 3, Columns - 2 * Margin, 1);
    Window.Paper = BAND_BLUE;
    PrintArea(AreaBand, &Window);
}

static VOID DrawFoot(VOID) {
    BUG_WINDOW Window = MakeWindow(Margin, Rows - 1, Columns - 2 * Margin, 1);
    Window.Paper = BAND_BLUE;
    KdFillCells(0, Rows - 1, Columns, 1, BAND_BLUE);
    KiBugPrint(&Window, 0, INK_DIM "The machine has stopped. The whole text is on COM1%s",
               Columns >= WIDE ? "; frames and lines are looked up in symbols/ of the boot archive." : ".");
}

/* In the foot, in place of the advice on COM1. Nothing where there is no blue screen. */
VOID KiShowDumpLine(PCSTR Text) {
    if (Columns < 80 || Rows < 25) {
        return;
    }
    BUG_WINDOW Window = MakeWindow(Margin, Rows - 1, Columns - 2 * Margin, 1);
    Window.Paper = BAND_BLUE;
    KdFillCells(0, Rows - 1, Columns, 1, BAND_BLUE);
    KiBugPrint(&Window, 0, INK_DIM "The machine has stopped. Dump: " INK_TEXT "%s", Text);
}

/* The parts between row Top and the foot: the advice and the CPUs get what they need, the stack the rest. */
static VOID DrawLowerParts(ULONG Top) {
    ULONG FixRows = MeasureRows(AreaFix), CpuRows = MeasureRows(AreaProcessors);
    ULONG Taken = Top + MINIMUM_STACK_ROWS + 1 + 1 + FixRows + 2; /* with the blank rows between them, and the foot */
    ULONG Spare = Rows > Taken + 2 ? Rows - Taken : 2;
    CpuRows = CpuRows < Spare ? CpuRows : Spare;
    CpuRows = CpuRows < MAXIMUM_CPU_ROWS ? CpuRows : MAXIMUM_CPU_ROWS;
    ULONG FixTop = Rows - 2 - FixRows, CpuTop = FixTop - 1 - CpuRows;
    ULONG StackRows = CpuTop > Top + 1 ? CpuTop - 1 - Top : 0;
    BUG_WINDOW Stack = MakeWindow(Margin, Top, Columns - 2 * Margin - REGISTER_COLUMNS - 2, StackRows);
    BUG_WINDOW Machine = MakeWindow(Columns - Margin - REGISTER_COLUMNS, Top, REGISTER_COLUMNS, StackRows);
    PrintArea(AreaLeft, &Stack);
    PrintArea(AreaRight, &Machine);
    if (StackRows >= Stack.Row + 1 + MINIMUM_TRACE_ROWS) {
        BUG_WINDOW Trace = MakeWindow(Margin, Top + Stack.Row + 1, Stack.Columns, StackRows - Stack.Row - 1);
        PrintArea(AreaSpare, &Trace);
    }
    DrawArea(AreaProcessors, CpuTop, CpuRows);
    DrawArea(AreaFix, FixTop, FixRows);
}

/* Dying, on one CPU, at HIGH_LEVEL. Nothing on a screen of less than 80 x 25 characters. */
static VOID ReportOnScreen(VOID) {
    KdCloseConsole();
    KdQueryScreen(&Columns, &Rows);
    if (Columns < 80 || Rows < 25) {
        return;
    }
    Margin = Columns >= WIDE ? 3 : 1;
    KdFillPixels(0, 0, HalFramebuffer.Width, HalFramebuffer.Height, BLUE);
    DrawBand();
    ULONG Top = DrawArea(AreaWhy, Rows >= TALL ? 6 : 5, 3);
    Top = DrawArea(AreaParameters, Top, 9);
    DrawLowerParts(Top);
    DrawFoot();
}
KE_BUG_STEP(20, ReportOnScreen, NULL);

/* bugscreen.c: the blue screen: the report of bugreport.c laid out on the framebuffer.
 *
 *   +------------------------------------------------+
 *   | code and name, large; where                    |  band
 *   | why                                            |
 *   | the four parameters                            |
 *   | stack of the guilty CPU    | registers, PTE    |  takes the rows that are left
 *   | what each CPU was doing                        |
 *   | what to change                                 |
 *   | where the same text is                         |  foot
 *   +------------------------------------------------+
 * The lower parts are measured first, so that on a small screen the stack gives way and the advice stays. */
#include "bug.h"

#include <rtl.h>

#define BLUE 0x00103A9Eu
#define BAND_BLUE 0x000A2770u
#define MARGIN 3            /* columns at the left and the right */
#define BAND_ROWS 5
#define MAXIMUM_CPU_ROWS 9
#define MINIMUM_STACK_ROWS 7
#define REGISTER_COLUMNS 44

static ULONG Columns, Rows;

static BUG_WINDOW MakeWindow(ULONG Left, ULONG Top, ULONG Width, ULONG Height) {
    return (BUG_WINDOW){.Left = Left, .Top = Top, .Columns = Width, .Rows = Height, .Target = WindowScreen, .Paper = BLUE};
}

/* How many rows a part would use. */
static ULONG MeasureRows(VOID (*Part)(BUG_WINDOW *Window)) {
    BUG_WINDOW Window = MakeWindow(0, 0, Columns - 2 * MARGIN, MAXULONG);
    Window.Target = WindowMeasure;
    Part(&Window);
    return Window.Row;
}

/* Draws a part over the whole width from row Top on; returns the row after it and one blank row. */
static ULONG DrawPart(VOID (*Part)(BUG_WINDOW *Window), ULONG Top, ULONG MaximumRows) {
    BUG_WINDOW Window = MakeWindow(MARGIN, Top, Columns - 2 * MARGIN, MaximumRows);
    Part(&Window);
    return Top + Window.Row + 1;
}

/* The code as people say it and the name, in large letters if they fit. */
static VOID DrawBand(VOID) {
    CHAR Title[96];
    KdFillCells(0, 0, Columns, BAND_ROWS, BAND_BLUE);
    KdFillPixels(0, BAND_ROWS * 16 - 2, Columns * 8, 2, KiBugInk(INK_MARK[0]));
    RtlFormat(Title, sizeof(Title), "%s", KiFindBugCode(KiBug.Code)->Name);
    ULONG Length = (ULONG)strlen(Title);
    BOOLEAN IsLarge = 2 * Length + 2 * MARGIN <= Columns;
    for (ULONG i = 0; i < Length; i++) {
        if (IsLarge) {
            KdDrawLargeCharacter(MARGIN + 2 * i, 1, (UCHAR)Title[i], KiBugInk(INK_TEXT[0]), BAND_BLUE);
        } else {
            KdDrawCharacter(MARGIN + i, 2, (UCHAR)Title[i], KiBugInk(INK_TEXT[0]), BAND_BLUE);
        }
    }
    BUG_WINDOW Window = MakeWindow(MARGIN, 3, Columns - 2 * MARGIN, 1);
    Window.Paper = BAND_BLUE;
    KiReportStop(&Window);
}

static VOID DrawFoot(VOID) {
    BUG_WINDOW Window = MakeWindow(MARGIN, Rows - 1, Columns - 2 * MARGIN, 1);
    Window.Paper = BAND_BLUE;
    KdFillCells(0, Rows - 1, Columns, 1, BAND_BLUE);
    KiBugPrint(&Window, 0, INK_DIM "The machine has stopped. The whole text is on COM1%s",
               Columns >= 120 ? "; frames and lines are looked up in symbols/ of the boot archive." : ".");
}

VOID KiReportOnScreen(VOID) {
    KdCloseConsole();
    KdQueryScreen(&Columns, &Rows);
    if (Columns < 80 || Rows < 25) {
        return;
    }
    KdFillPixels(0, 0, MAXULONG / 2, MAXULONG / 2, BLUE);
    DrawBand();
    ULONG Top = DrawPart(KiReportWhy, BAND_ROWS + 1, 3);
    Top = DrawPart(KiReportParameters, Top, 9);
    ULONG FixRows = MeasureRows(KiReportFix), CpuRows = MeasureRows(KiReportProcessors);
    ULONG Spare = Rows - 1 > Top + FixRows + 2 + MINIMUM_STACK_ROWS ? Rows - 1 - Top - FixRows - 2 - MINIMUM_STACK_ROWS : 2;
    CpuRows = CpuRows < Spare ? CpuRows : Spare;
    CpuRows = CpuRows < MAXIMUM_CPU_ROWS ? CpuRows : MAXIMUM_CPU_ROWS;
    ULONG FixTop = Rows - 2 - FixRows, CpuTop = FixTop - 1 - CpuRows;
    ULONG StackRows = CpuTop > Top + 1 ? CpuTop - 1 - Top : 0;
    BUG_WINDOW Stack = MakeWindow(MARGIN, Top, Columns - 2 * MARGIN - REGISTER_COLUMNS - 2, StackRows);
    BUG_WINDOW Machine = MakeWindow(Columns - MARGIN - REGISTER_COLUMNS, Top, REGISTER_COLUMNS, StackRows);
    KiReportStack(&Stack);
    KiReportMachine(&Machine);
    DrawPart(KiReportProcessors, CpuTop, CpuRows);
    DrawPart(KiReportFix, FixTop, FixRows);
    DrawFoot();
}

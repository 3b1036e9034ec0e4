/* console.c: boot text and story on the screen, as on COM1, until the blue screen takes over.
 *
 * The text is kept as a grid of characters, the screen's content as a second grid, so that scrolling draws only the
 * cells that differ. A full screen moves up by a quarter at once, which makes scrolling cheap. Text from before there
 * is a framebuffer is kept and shown when there is one. */
#include "screen.h"

#define MAXIMUM_COLUMNS 160
#define MAXIMUM_ROWS 64
#define MARGIN 1
#define DEFAULT_COLUMNS 126
#define DEFAULT_ROWS 48
#define INK 0x00C9D4E8u
#define PAPER 0x000B1222u

static struct {
    USHORT Text[MAXIMUM_ROWS][MAXIMUM_COLUMNS];  /* code points; 0 is blank */
    USHORT Shown[MAXIMUM_ROWS][MAXIMUM_COLUMNS]; /* the screen's content */
    ULONG Columns, Rows;
    ULONG Column, Row;         /* where the next character goes */
    BOOLEAN IsShown;           /* the screen has been cleared and is kept up to date */
    volatile BOOLEAN IsClosed; /* the blue screen owns the pixels */
} Console;

static VOID DrawRow(ULONG Row) {
    for (ULONG Column = 0; Column < Console.Columns; Column++) {
        USHORT Code = Console.Text[Row][Column];
        if (Code != Console.Shown[Row][Column]) {
            Console.Shown[Row][Column] = Code;
            KdDrawCharacter(MARGIN + Column, Row, Code ? Code : ' ', INK, PAPER);
        }
    }
}

static VOID DrawAll(VOID) {
    for (ULONG Row = 0; Console.IsShown && Row < Console.Rows; Row++) {
        DrawRow(Row);
    }
}

static VOID ScrollUp(ULONG Count) {
    for (ULONG Row = 0; Row < Console.Rows; Row++) {
        if (Row + Count < Console.Rows) {
            memcpy(Console.Text[Row], Console.Text[Row + Count], sizeof(Console.Text[Row]));
        } else {
            memset(Console.Text[Row], 0, sizeof(Console.Text[Row]));
        }
    }
    Console.Row -= Count;
    DrawAll();
}

/* The first time that there is a screen: clears it and shows what was kept. */
static VOID OpenScreen(VOID) {
    ULONG Columns, Rows;
    KdQueryScreen(&Columns, &Rows);
    if (Columns <= 2 * MARGIN || Rows == 0) {
        return;
    }
    if (Console.Row >= Smaller(Rows, MAXIMUM_ROWS)) {
        ScrollUp(Console.Row + 1 - Smaller(Rows, MAXIMUM_ROWS));
    }
    Console.IsShown = TRUE;
    Console.Columns = Smaller(Columns - 2 * MARGIN, MAXIMUM_COLUMNS);
    Console.Rows = Smaller(Rows, MAXIMUM_ROWS);
    KdFillPixels(0, 0, HalFramebuffer.Width, HalFramebuffer.Height, PAPER);
    DrawAll();
}

static VOID NewLine(VOID) {
    Console.Column = 0;
    Console.Row++;
}

static VOID PutCharacter(ULONG Code) {
    if (Code == '\n') {
        NewLine();
        return;
    }
    if (Code < ' ') {
        return;
    }
    if (Console.Column >= Console.Columns) {
        NewLine();
    }
    if (Console.Row >= Console.Rows) {
        ScrollUp(Console.Row + 1 - Console.Rows + Console.Rows / 4);
    }
    Console.Text[Console.Row][Console.Column++] = (USHORT)Code;
    if (Console.IsShown) {
        KdDrawCharacter(MARGIN + Console.Column - 1, Console.Row, Code, INK, PAPER);
        Console.Shown[Console.Row][Console.Column - 1] = (USHORT)Code;
    }
}

/* Text in UTF-8. Any IRQL; the caller holds the print lock, or is the only CPU. Does nothing after KdCloseConsole. */
VOID KdScreenPut(PCSTR Text) {
    if (Console.Columns == 0) {
        Console.Columns = DEFAULT_COLUMNS;
        Console.Rows = DEFAULT_ROWS;
    }
    if (!Console.IsShown && HalFramebuffer.Base && !Console.IsClosed) {
        OpenScreen();
    }
    while (*Text && !Console.IsClosed) {
        PutCharacter(KdNextCharacter(&Text));
    }
}

/* From now on the pixels belong to the caller. Any IRQL, no locks: another CPU may finish the character that it
 * draws. */
VOID KdCloseConsole(VOID) {
    Console.IsClosed = TRUE;
}

/* bugwindow.c: paragraphs of text in a rectangle of the screen, or on COM1: the same report in two widths.
 *
 * Only the dying CPU comes here, so the buffer is static: the stack of a dying thread may have little room left. */
#include <bugreport.h>

#include <rtl.h>

#define PARAGRAPH_BYTES 1024

static CHAR Paragraph[PARAGRAPH_BYTES];

ULONG KiBugInk(CHAR Ink) {
    switch (Ink) {
    case 2:
        return 0x009DB4F2;
    case 3:
        return 0x00FFD35A;
    case 4:
        return 0x007FE3FF;
    default:
        return 0x00FFFFFF;
    }
}

static BOOLEAN IsInk(CHAR Character) {
    return Character >= 1 && Character <= 4;
}

/* How many bytes of Text go into one line of Columns characters: up to the last blank that fits, or hard. */
static SIZE_T MeasureLine(PCSTR Text, ULONG Columns) {
    SIZE_T Bytes = 0, LastBlank = 0;
    ULONG Width = 0;
    for (; Text[Bytes]; Bytes++) {
        if (IsInk(Text[Bytes])) {
            continue;
        }
        if (Text[Bytes] == ' ' && Width > 0) {
            LastBlank = Bytes;
        }
        if (++Width > Columns) {
            return LastBlank ? LastBlank : Bytes;
        }
    }
    return Bytes;
}

static VOID PutSerial(PCSTR Text, SIZE_T Bytes, ULONG Indent) {
    static CHAR Line[PARAGRAPH_BYTES];
    SIZE_T Length = 0;
    while (Indent-- > 0 && Bytes > 0) {
        Line[Length++] = ' ';
    }
    for (SIZE_T i = 0; i < Bytes && Length < sizeof(Line) - 2; i++) {
        if (!IsInk(Text[i])) {
            Line[Length++] = Text[i];
        }
    }
    Line[Length++] = '\n';
    Line[Length] = 0;
    KdPutString(Line);
}

static VOID PutScreen(const BUG_WINDOW *Window, PCSTR Text, SIZE_T Bytes, ULONG Indent, CHAR *Ink) {
    ULONG Column = Window->Left + Indent;
    for (SIZE_T i = 0; i < Bytes; i++) {
        if (IsInk(Text[i])) {
            *Ink = Text[i];
        } else {
            KdDrawCharacter(Column++, Window->Top + Window->Row, (UCHAR)Text[i], KiBugInk(*Ink), Window->Paper);
        }
    }
}

VOID KiBugPrint(BUG_WINDOW *Window, ULONG Indent, PCSTR Format, ...) {
    va_list Arguments;
    KiBugHeading(Window);
    va_start(Arguments, Format);
    RtlFormatV(Paragraph, sizeof(Paragraph), Format, Arguments);
    va_end(Arguments);
    PCSTR Text = Paragraph;
    CHAR Ink = 1;
    ULONG Used = 0; /* the indent of this line: none for the first */
    do {
        SIZE_T Bytes = MeasureLine(Text, Window->Columns - Used);
        if (Window->Row >= Window->Rows) {
            return;
        }
        if (Window->Target == WindowSerial) {
            PutSerial(Text, Bytes, Used);
        } else if (Window->Target == WindowScreen) {
            PutScreen(Window, Text, Bytes, Used, &Ink);
        }
        Window->Row++;
        Text += Bytes;
        while (*Text == ' ') {
            Text++;
        }
        Used = Indent < Window->Columns / 2 ? Indent : 2;
    } while (*Text);
}

/* On the screen the heading is followed by a thin line up to the window's right edge. */
VOID KiBugHeading(BUG_WINDOW *Window) {
    PCSTR Title = Window->Title;
    if (Title == NULL) {
        return;
    }
    Window->Title = NULL;
    if (Window->Target == WindowSerial) {
        KiBugPrint(Window, 0, "");
    }
    ULONG Row = Window->Top + Window->Row;
    KiBugPrint(Window, 0, INK_HEAD "%s", Title);
    if (Window->Target == WindowScreen) {
        ULONG Start = (ULONG)strlen(Title) + 1;
        ULONG Length = Start < Window->Columns ? Window->Columns - Start : 0;
        KdFillPixels((Window->Left + Start) * 8, Row * 16 + 8, Length * 8, 1, 0x004C6FD8);
    }
}

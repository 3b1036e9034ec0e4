/* screen.c: text on the framebuffer: cells, lines and boxes of colour, for console and blue screen.
 *
 * Pixels are only written, never read: reading video memory is slow on every machine. Nothing here allocates, locks or
 * faults; before there is a framebuffer every call does nothing. */
#include "screen.h"

/* The grid, in characters. Both 0 when there is no framebuffer or no font. Any IRQL. */
VOID KdQueryScreen(ULONG *Columns, ULONG *Rows) {
    BOOLEAN IsUsable = HalFramebuffer.Base != NULL && (KdFontHeight() != 0 || KdInitializeFont());
    *Columns = IsUsable ? HalFramebuffer.Width / KD_GLYPH_WIDTH : 0;
    *Rows = IsUsable ? HalFramebuffer.Height / KdFontHeight() : 0;
}

static volatile ULONG *PixelAt(ULONG X, ULONG Y) {
    return (volatile ULONG *)((volatile UCHAR *)HalFramebuffer.Base + (SIZE_T)Y * HalFramebuffer.PitchBytes) + X;
}

static VOID FillLine(volatile ULONG *Pixel, ULONG Width, ULONG Color) {
    const ULONG64 Pair = (ULONG64)Color << 32 | Color;
    for (; Width >= 8; Width -= 8, Pixel += 8) {
        volatile ULONG64 *Pairs = (volatile ULONG64 *)Pixel;
        Pairs[0] = Pair;
        Pairs[1] = Pair;
        Pairs[2] = Pair;
        Pairs[3] = Pair;
    }
    while (Width-- > 0) {
        *Pixel++ = Color;
    }
}

/* A box of one colour, in pixels, cut off at the edges of the screen. Any IRQL. */
VOID KdFillPixels(ULONG X, ULONG Y, ULONG Width, ULONG Height, ULONG Color) {
    ULONG Right = Smaller(X + Width, HalFramebuffer.Width), Bottom = Smaller(Y + Height, HalFramebuffer.Height);
    for (; HalFramebuffer.Base && X < Right && Y < Bottom; Y++) {
        FillLine(PixelAt(X, Y), Right - X, Color);
    }
}

/* A box of one colour, in cells. Any IRQL. */
VOID KdFillCells(ULONG Column, ULONG Row, ULONG Columns, ULONG Rows, ULONG Color) {
    ULONG Height = KdFontHeight();
    KdFillPixels(Column * KD_GLYPH_WIDTH, Row * Height, Columns * KD_GLYPH_WIDTH, Rows * Height, Color);
}

/* Two pixels a store: one of four patterns for each pair of bits. */
static VOID DrawGlyph(ULONG X, ULONG Y, const UCHAR *Glyph, ULONG Ink, ULONG Paper) {
    const ULONG64 Pair[4] = {(ULONG64)Paper << 32 | Paper, (ULONG64)Ink << 32 | Paper, (ULONG64)Paper << 32 | Ink,
                             (ULONG64)Ink << 32 | Ink};
    ULONG Height = KdFontHeight();
    for (ULONG Line = 0; Line < Height; Line++) {
        volatile ULONG64 *Pixels = (volatile ULONG64 *)PixelAt(X, Y + Line);
        ULONG Bits = Glyph[Line];
        Pixels[0] = Pair[Bits >> 6];
        Pixels[1] = Pair[Bits >> 4 & 3];
        Pixels[2] = Pair[Bits >> 2 & 3];
        Pixels[3] = Pair[Bits & 3];
    }
}

/* One character, given as its code point. Any IRQL. */
VOID KdDrawCharacter(ULONG Column, ULONG Row, ULONG Code, ULONG Ink, ULONG Paper) {
    ULONG Columns, Rows;
    KdQueryScreen(&Columns, &Rows);
    if (Column < Columns && Row < Rows) {
        DrawGlyph(Column * KD_GLYPH_WIDTH, Row * KdFontHeight(), KdFindGlyph(Code), Ink, Paper);
    }
}

static ULONG BitAt(const UCHAR *Glyph, LONG X, LONG Y) {
    BOOLEAN IsInside = X >= 0 && X < KD_GLYPH_WIDTH && Y >= 0 && Y < (LONG)KdFontHeight();
    return IsInside ? Glyph[Y] >> (KD_GLYPH_WIDTH - 1 - X) & 1u : 0;
}

/* Which of the four pixels that replace one are ink. A corner takes the colour that both neighbours on its side have,
 * so that slanted strokes stay smooth (the Scale2x rule). Bits: 0 top left, 1 top right, 2 bottom left, 3 bottom
 * right. */
static ULONG DoublePixel(const UCHAR *Glyph, LONG X, LONG Y) {
    ULONG Center = BitAt(Glyph, X, Y), Up = BitAt(Glyph, X, Y - 1), Down = BitAt(Glyph, X, Y + 1);
    ULONG Left = BitAt(Glyph, X - 1, Y), Right = BitAt(Glyph, X + 1, Y);
    if (Up == Down || Left == Right) {
        return Center ? 0xF : 0;
    }
    return (Left == Up ? Left : Center) | (Up == Right ? Right : Center) << 1 | (Left == Down ? Left : Center) << 2 |
           (Down == Right ? Right : Center) << 3;
}

/* One character of double width and height. Any IRQL. */
VOID KdDrawLargeCharacter(ULONG Column, ULONG Row, ULONG Code, ULONG Ink, ULONG Paper) {
    ULONG Columns, Rows;
    KdQueryScreen(&Columns, &Rows);
    if (Column + 1 >= Columns || Row + 1 >= Rows) {
        return;
    }
    const UCHAR *Glyph = KdFindGlyph(Code);
    ULONG X = Column * KD_GLYPH_WIDTH, Y = Row * KdFontHeight();
    for (LONG Line = 0; Line < (LONG)KdFontHeight(); Line++) {
        volatile ULONG *Upper = PixelAt(X, Y + 2 * (ULONG)Line), *Lower = PixelAt(X, Y + 2 * (ULONG)Line + 1);
        for (LONG Pixel = 0; Pixel < KD_GLYPH_WIDTH; Pixel++) {
            ULONG Quad = DoublePixel(Glyph, Pixel, Line);
            *Upper++ = Quad & 1 ? Ink : Paper;
            *Upper++ = Quad & 2 ? Ink : Paper;
            *Lower++ = Quad & 4 ? Ink : Paper;
            *Lower++ = Quad & 8 ? Ink : Paper;
        }
    }
}

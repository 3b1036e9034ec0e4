/* font.c: the PC Screen Font in the image: which bitmap shows which character.
 *
 * Both versions of the format are read. A font file holds its bitmaps first, then for each bitmap the characters that
 * it shows: in version 1 as 16-bit codes ended by FFFF (FFFE starts sequences, which are not used here), in version 2
 * as UTF-8 ended by FF (FE starts sequences). */
#include "screen.h"

#define PSF1_MAGIC 0x0436u
#define PSF1_HEADER_BYTES 4
#define PSF1_MODE_512 0x01
#define PSF1_MODE_TABLE 0x06
#define PSF2_MAGIC 0x864AB572u
#define PSF2_FLAG_TABLE 0x01
#define DIRECT_CODES 256

typedef struct _PSF2_HEADER {
    ULONG Magic, Version, HeaderBytes, Flags, Count, GlyphBytes, Height, Width;
} PSF2_HEADER;

extern const UCHAR HalFont[], HalFontEnd[];

static struct {
    const UCHAR *Glyphs;
    const UCHAR *Table; /* NULL: character n is bitmap n */
    ULONG Count, Height;
    BOOLEAN IsVersion2;
    USHORT Direct[DIRECT_CODES]; /* bitmap of each of the first characters */
} Font;

/* One step through a version 2 table: the next character, or 0xFE / 0xFF for the marks. */
static ULONG NextUtf8(const UCHAR **Position, const UCHAR *End) {
    const UCHAR *At = *Position;
    ULONG First = *At++;
    ULONG Extra = First >= 0xFE || First < 0xC0 ? 0 : First >= 0xF0 ? 3 : First >= 0xE0 ? 2 : 1;
    ULONG Code = Extra ? First & (0x3Fu >> Extra) : First;
    while (Extra-- > 0 && At < End) {
        Code = Code << 6 | (*At++ & 0x3Fu);
    }
    *Position = At;
    return First >= 0xFE ? First : Code;
}

/* The character that follows in UTF-8 text; advances *Text. Not for empty text. Any IRQL. */
ULONG KdNextCharacter(PCSTR *Text) {
    const UCHAR *At = (const UCHAR *)*Text;
    ULONG Length = (ULONG)strlen(*Text);
    ULONG Code = NextUtf8(&At, At + Length);
    *Text = (PCSTR)At;
    return Code;
}

/* Calls Found for each (bitmap, character) of the table until it returns TRUE. */
static VOID ForEachCode(BOOLEAN (*Found)(ULONG Glyph, ULONG Code, ULONG *Context), ULONG *Context) {
    const UCHAR *At = Font.Table;
    ULONG Glyph = 0;
    BOOLEAN IsSequence = FALSE;
    while (At && At + 1 < HalFontEnd && Glyph < Font.Count) {
        ULONG Code, EndMark = Font.IsVersion2 ? 0xFF : 0xFFFF, SequenceMark = EndMark - 1;
        if (Font.IsVersion2) {
            Code = NextUtf8(&At, HalFontEnd);
        } else {
            Code = At[0] | (ULONG)At[1] << 8;
            At += 2;
        }
        if (Code == EndMark) {
            Glyph++;
            IsSequence = FALSE;
        } else if (Code == SequenceMark) {
            IsSequence = TRUE;
        } else if (!IsSequence && Found(Glyph, Code, Context)) {
            return;
        }
    }
}

static BOOLEAN RecordDirect(ULONG Glyph, ULONG Code, ULONG *Context) {
    UNREFERENCED_PARAMETER(Context);
    if (Code < DIRECT_CODES) {
        Font.Direct[Code] = (USHORT)Glyph;
    }
    return FALSE;
}

static BOOLEAN MatchCode(ULONG Glyph, ULONG Code, ULONG *Context) {
    if (Code == Context[0]) {
        Context[1] = Glyph;
        return TRUE;
    }
    return FALSE;
}

static BOOLEAN ReadHeader(VOID) {
    SIZE_T Bytes = (SIZE_T)(HalFontEnd - HalFont);
    const PSF2_HEADER *Header = (const PSF2_HEADER *)HalFont;
    ULONG HeaderBytes;
    BOOLEAN HasTable;
    if (Bytes > PSF1_HEADER_BYTES && (HalFont[0] | HalFont[1] << 8) == PSF1_MAGIC) {
        HeaderBytes = PSF1_HEADER_BYTES;
        Font.Count = HalFont[2] & PSF1_MODE_512 ? 512 : 256;
        Font.Height = HalFont[3];
        HasTable = (HalFont[2] & PSF1_MODE_TABLE) != 0;
    } else if (Bytes > sizeof(*Header) && Header->Magic == PSF2_MAGIC && Header->Width == KD_GLYPH_WIDTH &&
               Header->GlyphBytes == Header->Height) {
        Font.IsVersion2 = TRUE;
        HeaderBytes = Header->HeaderBytes;
        Font.Count = Header->Count;
        Font.Height = Header->Height;
        HasTable = (Header->Flags & PSF2_FLAG_TABLE) != 0;
    } else {
        return FALSE;
    }
    SIZE_T TableStart = HeaderBytes + (SIZE_T)Font.Count * Font.Height;
    if (Font.Height == 0 || Font.Height > KD_GLYPH_HEIGHT || TableStart > Bytes) {
        return FALSE;
    }
    Font.Glyphs = HalFont + HeaderBytes;
    Font.Table = HasTable ? HalFont + TableStart : NULL;
    return TRUE;
}

/* Once, before KdFindGlyph. FALSE: the image holds no font 8 wide and at most 16 high. */
BOOLEAN KdInitializeFont(VOID) {
    if (!ReadHeader()) {
        Font.Glyphs = NULL;
        return FALSE;
    }
    for (ULONG Code = 0; Code < DIRECT_CODES; Code++) {
        Font.Direct[Code] = (USHORT)(Font.Table ? 0 : Code);
    }
    ForEachCode(RecordDirect, NULL);
    return TRUE;
}

/* The bitmap of a character, KdFontHeight bytes, leftmost pixel in bit 7; of '?' when the font lacks it. Any IRQL. */
const UCHAR *KdFindGlyph(ULONG Code) {
    ULONG Match[2] = {Code, Font.Direct['?']};
    if (Code < DIRECT_CODES) {
        Match[1] = Font.Direct[Code];
    } else {
        ForEachCode(MatchCode, Match);
    }
    return Font.Glyphs + (SIZE_T)Match[1] * Font.Height;
}

/* Rows of pixels per character; 0 before KdInitializeFont. */
ULONG KdFontHeight(VOID) {
    return Font.Glyphs ? Font.Height : 0;
}

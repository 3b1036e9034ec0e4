/* screen.h: declarations shared by the font, the screen and the console. */
#ifndef _KD_SCREEN_H_
#define _KD_SCREEN_H_

#include <arch.h>
#include <kd.h>

#define KD_GLYPH_WIDTH 8
#define KD_GLYPH_HEIGHT 16 /* of the highest font accepted */

static FORCEINLINE ULONG Smaller(ULONG A, ULONG B) {
    return A < B ? A : B;
}

BOOLEAN KdInitializeFont(VOID);
const UCHAR *KdFindGlyph(ULONG Code);
ULONG KdFontHeight(VOID);
ULONG KdNextCharacter(PCSTR *Text);

#endif

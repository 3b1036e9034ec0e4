/* upcase.c: upper and lower case of UTF-16 characters, one to one.
 *
 * A row is a run of lower-case letters: with step 1 each has its upper case at the same distance, with step 2 upper and
 * lower alternate. Covered are Latin, Greek, Cyrillic, Armenian and the full-width forms; letters without a single
 * partner (the German sharp s, the dotless i, the micro sign) stay as they are. */
#include <ntddk.h>

typedef struct _CASE_RUN {
    USHORT First, Last; /* of the lower-case letters */
    USHORT Step;
    SHORT ToUpper;
} CASE_RUN;

static const CASE_RUN Runs[] = {
    {'a', 'z', 1, -32},       {0xE0, 0xF6, 1, -32},    {0xF8, 0xFE, 1, -32},     {0xFF, 0xFF, 1, 121},
    {0x101, 0x12F, 2, -1},    {0x133, 0x137, 2, -1},   {0x13A, 0x148, 2, -1},    {0x14B, 0x177, 2, -1},
    {0x17A, 0x17E, 2, -1},    {0x183, 0x185, 2, -1},   {0x1CE, 0x1DC, 2, -1},    {0x1DF, 0x1EF, 2, -1},
    {0x1FB, 0x217, 2, -1},    {0x3AC, 0x3AC, 1, -38},  {0x3AD, 0x3AF, 1, -37},   {0x3B1, 0x3C1, 1, -32},
    {0x3C3, 0x3CB, 1, -32},   {0x3CC, 0x3CC, 1, -64},  {0x3CD, 0x3CE, 1, -63},   {0x430, 0x44F, 1, -32},
    {0x450, 0x45F, 1, -80},   {0x461, 0x481, 2, -1},   {0x491, 0x4BF, 2, -1},    {0x561, 0x586, 1, -48},
    {0x1E01, 0x1E95, 2, -1},  {0x1EA1, 0x1EF9, 2, -1}, {0x2170, 0x217F, 1, -16}, {0x24D0, 0x24E9, 1, -26},
    {0xFF41, 0xFF5A, 1, -32},
};

/* Any IRQL. */
WCHAR RtlUpcaseUnicodeChar(WCHAR SourceCharacter) {
    ULONG Character = (USHORT)SourceCharacter;
    if (Character < 'a') {
        return SourceCharacter;
    }
    for (ULONG i = 0; i < RTL_NUMBER_OF(Runs); i++) {
        const CASE_RUN *Run = &Runs[i];
        if (Character >= Run->First && Character <= Run->Last && (Character - Run->First) % Run->Step == 0) {
            return (WCHAR)(Character + Run->ToUpper);
        }
    }
    return SourceCharacter;
}

/* Any IRQL. */
WCHAR RtlDowncaseUnicodeChar(WCHAR SourceCharacter) {
    LONG Character = (USHORT)SourceCharacter;
    if (Character < 'A') {
        return SourceCharacter;
    }
    for (ULONG i = 0; i < RTL_NUMBER_OF(Runs); i++) {
        const CASE_RUN *Run = &Runs[i];
        LONG Lower = Character - Run->ToUpper;
        if (Lower >= Run->First && Lower <= Run->Last && (Lower - Run->First) % Run->Step == 0) {
            return (WCHAR)Lower;
        }
    }
    return SourceCharacter;
}

/* Any IRQL. ASCII and Latin-1. */
CHAR RtlUpperChar(CHAR Character) {
    WCHAR Upper = RtlUpcaseUnicodeChar((WCHAR)(UCHAR)Character);
    return (USHORT)Upper < 0x100 ? (CHAR)Upper : Character;
}

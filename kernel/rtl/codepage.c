/* codepage.c: the code page between bytes and UTF-16, Windows-1252. */
#include <rtl.h>

/* The 32 places where the code page is not Latin-1. 0: an unused place, which maps to the control character itself. */
static const USHORT High[32] = {
    0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0,      0x017D, 0,      0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178,
};

/* Any IRQL. */
WCHAR RtlAnsiToUnicodeChar(CHAR Character) {
    UCHAR Byte = (UCHAR)Character;
    return (WCHAR)(Byte >= 0x80 && Byte < 0xA0 && High[Byte - 0x80] != 0 ? High[Byte - 0x80] : Byte);
}

/* Any IRQL. '?' for a character that the code page lacks. */
CHAR RtlUnicodeToAnsiChar(WCHAR Character) {
    USHORT Code = (USHORT)Character;
    if (Code < 0x80 || (Code >= 0xA0 && Code < 0x100)) {
        return (CHAR)Code;
    }
    for (ULONG i = 0; i < RTL_NUMBER_OF(High); i++) {
        if (High[i] == Code || (High[i] == 0 && Code == 0x80 + i)) {
            return (CHAR)(0x80 + i);
        }
    }
    return '?';
}

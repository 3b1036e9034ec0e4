/* ansi.c: counted strings of bytes, and the code page between them and UTF-16: Windows-1252. */
#include <ntddk.h>
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

/* Any IRQL. '?' for what the code page does not have. */
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

/* Any IRQL at which the source is resident. */
VOID RtlInitString(PSTRING DestinationString, PCSZ SourceString) {
    SIZE_T Bytes = SourceString == NULL ? 0 : strlen(SourceString);
    if (Bytes > MAXUSHORT - 1) {
        Bytes = MAXUSHORT - 1;
    }
    DestinationString->Length = (USHORT)Bytes;
    DestinationString->MaximumLength = SourceString == NULL ? 0 : (USHORT)(Bytes + 1);
    DestinationString->Buffer = (PCHAR)SourceString;
}

/* The same. */
VOID RtlInitAnsiString(PANSI_STRING DestinationString, PCSZ SourceString) {
    RtlInitString(DestinationString, SourceString);
}

/* Any IRQL at which both are resident. Truncates to MaximumLength; does not terminate. */
VOID RtlCopyString(PSTRING DestinationString, const STRING *SourceString) {
    USHORT Bytes = SourceString == NULL ? 0 : SourceString->Length;
    if (Bytes > DestinationString->MaximumLength) {
        Bytes = DestinationString->MaximumLength;
    }
    if (Bytes != 0) {
        memmove(DestinationString->Buffer, SourceString->Buffer, Bytes);
    }
    DestinationString->Length = Bytes;
}

/* Any IRQL at which both are resident. < 0, 0, > 0. */
LONG RtlCompareString(const STRING *A, const STRING *B, BOOLEAN CaseInSensitive) {
    USHORT Shorter = A->Length < B->Length ? A->Length : B->Length;
    for (USHORT i = 0; i < Shorter; i++) {
        CHAR Left = A->Buffer[i], Right = B->Buffer[i];
        if (CaseInSensitive) {
            Left = RtlUpperChar(Left);
            Right = RtlUpperChar(Right);
        }
        if (Left != Right) {
            return (UCHAR)Left - (UCHAR)Right;
        }
    }
    return (LONG)A->Length - (LONG)B->Length;
}

/* Any IRQL at which both are resident. */
BOOLEAN RtlEqualString(const STRING *A, const STRING *B, BOOLEAN CaseInSensitive) {
    return A->Length == B->Length && RtlCompareString(A, B, CaseInSensitive) == 0;
}

/* Bytes, with a terminator, that the conversion needs. Any IRQL. */
ULONG RtlxUnicodeStringToAnsiSize(PCUNICODE_STRING UnicodeString) {
    return UnicodeString->Length / sizeof(WCHAR) + 1;
}

/* The same in the other direction. */
ULONG RtlxAnsiStringToUnicodeSize(PCANSI_STRING AnsiString) {
    return (AnsiString->Length + 1U) * sizeof(WCHAR);
}

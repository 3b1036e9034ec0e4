/* ansi.c: counted strings of bytes. */
#include <ntddk.h>
#include <rtl.h>

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

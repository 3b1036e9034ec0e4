/* unicode.c: UTF-16 strings, terminated (wcs...) and counted (UNICODE_STRING). Case folds within ASCII only. */
#include <ntddk.h>

/* Any IRQL. In characters, without the terminator. */
size_t wcslen(const wchar_t *String) {
    size_t Length = 0;
    while (String[Length] != 0) {
        Length++;
    }
    return Length;
}

/* Any IRQL. */
int wcscmp(const wchar_t *A, const wchar_t *B) {
    while (*A != 0 && *A == *B) {
        A++;
        B++;
    }
    return (int)(USHORT)*A - (int)(USHORT)*B;
}

/* Any IRQL. */
wchar_t *wcschr(const wchar_t *String, wchar_t Character) {
    for (;; String++) {
        if (*String == Character) {
            return (wchar_t *)String;
        }
        if (*String == 0) {
            return NULL;
        }
    }
}

/* Any IRQL. */
wchar_t *wcsrchr(const wchar_t *String, wchar_t Character) {
    const wchar_t *Last = NULL;
    for (;; String++) {
        if (*String == Character) {
            Last = String;
        }
        if (*String == 0) {
            return (wchar_t *)Last;
        }
    }
}

/* Any IRQL. 0, or an error: 22 for a bad argument, 34 when it does not fit; then the destination is empty. */
int wcscpy_s(wchar_t *Destination, size_t Characters, const wchar_t *Source) {
    if (Destination == NULL || Characters == 0) {
        return 22;
    }
    Destination[0] = 0;
    if (Source == NULL) {
        return 22;
    }
    size_t Length = wcslen(Source);
    if (Length >= Characters) {
        return 34;
    }
    memcpy(Destination, Source, (Length + 1) * sizeof(wchar_t));
    return 0;
}

/* Any IRQL at which the source is resident. Lengths are in bytes; a NULL source makes an empty string. */
VOID RtlInitUnicodeString(PUNICODE_STRING DestinationString, PCWSTR SourceString) {
    SIZE_T Bytes = SourceString == NULL ? 0 : wcslen(SourceString) * sizeof(WCHAR);
    if (Bytes > 0xFFFC) {
        Bytes = 0xFFFC; /* the longest that leaves room for a terminator in a USHORT */
    }
    DestinationString->Length = (USHORT)Bytes;
    DestinationString->MaximumLength = SourceString == NULL ? 0 : (USHORT)(Bytes + sizeof(WCHAR));
    DestinationString->Buffer = (PWCH)SourceString;
}

/* Any IRQL at which both are resident. Truncates to MaximumLength; terminates when there is room. */
VOID RtlCopyUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString) {
    USHORT Bytes = SourceString == NULL ? 0 : SourceString->Length;
    if (Bytes > DestinationString->MaximumLength) {
        Bytes = DestinationString->MaximumLength;
    }
    if (Bytes != 0) {
        memmove(DestinationString->Buffer, SourceString->Buffer, Bytes);
    }
    DestinationString->Length = Bytes;
    if (Bytes + sizeof(WCHAR) <= DestinationString->MaximumLength) {
        DestinationString->Buffer[Bytes / sizeof(WCHAR)] = 0;
    }
}

static WCHAR UpperCase(WCHAR Character) {
    return Character >= 'a' && Character <= 'z' ? (WCHAR)(Character - ('a' - 'A')) : Character;
}

/* Any IRQL at which both are resident. < 0, 0, > 0. */
LONG RtlCompareUnicodeString(PCUNICODE_STRING A, PCUNICODE_STRING B, BOOLEAN CaseInSensitive) {
    SIZE_T Shorter = (A->Length < B->Length ? A->Length : B->Length) / sizeof(WCHAR);
    for (SIZE_T i = 0; i < Shorter; i++) {
        WCHAR Left = A->Buffer[i], Right = B->Buffer[i];
        if (CaseInSensitive) {
            Left = UpperCase(Left);
            Right = UpperCase(Right);
        }
        if (Left != Right) {
            return (LONG)(USHORT)Left - (LONG)(USHORT)Right;
        }
    }
    return (LONG)A->Length - (LONG)B->Length;
}

/* Any IRQL at which both are resident. */
BOOLEAN RtlEqualUnicodeString(PCUNICODE_STRING A, PCUNICODE_STRING B, BOOLEAN CaseInSensitive) {
    return A->Length == B->Length && RtlCompareUnicodeString(A, B, CaseInSensitive) == 0;
}

/* unicode.c: counted UTF-16 strings in the caller's buffers. Lengths are in bytes. */
#include <ntddk.h>

#define LONGEST_BYTES 0xFFFC /* that leaves room for a terminator in a USHORT */

/* Any IRQL at which the source is resident. A NULL source makes an empty string; a longer one than fits is cut. */
VOID RtlInitUnicodeString(PUNICODE_STRING DestinationString, PCWSTR SourceString) {
    SIZE_T Bytes = SourceString == NULL ? 0 : wcslen(SourceString) * sizeof(WCHAR);
    if (Bytes > LONGEST_BYTES) {
        Bytes = LONGEST_BYTES;
    }
    DestinationString->Length = (USHORT)Bytes;
    DestinationString->MaximumLength = SourceString == NULL ? 0 : (USHORT)(Bytes + sizeof(WCHAR));
    DestinationString->Buffer = (PWCH)SourceString;
}

/* The same, but STATUS_NAME_TOO_LONG if it does not fit, and then DestinationString is unchanged. */
NTSTATUS RtlInitUnicodeStringEx(PUNICODE_STRING DestinationString, PCWSTR SourceString) {
    if (SourceString != NULL && wcslen(SourceString) * sizeof(WCHAR) > LONGEST_BYTES) {
        return STATUS_NAME_TOO_LONG;
    }
    RtlInitUnicodeString(DestinationString, SourceString);
    return STATUS_SUCCESS;
}

/* Any IRQL at which both are resident. Truncates to MaximumLength; terminates when there is room. A NULL source sets the
 * length alone. */
VOID RtlCopyUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString) {
    if (SourceString == NULL) {
        DestinationString->Length = 0;
        return;
    }
    USHORT Bytes = SourceString->Length;
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

/* STATUS_BUFFER_TOO_SMALL, and nothing is appended, when not all fits. Terminates when there is room. */
static NTSTATUS Append(PUNICODE_STRING Destination, PCWCH Text, SIZE_T Bytes) {
    SIZE_T Length = Destination->Length + Bytes;
    if (Length > Destination->MaximumLength) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    if (Bytes != 0) {
        memmove((PUCHAR)Destination->Buffer + Destination->Length, Text, Bytes);
        Destination->Length = (USHORT)Length;
    }
    if (Length + sizeof(WCHAR) <= Destination->MaximumLength) {
        Destination->Buffer[Length / sizeof(WCHAR)] = 0;
    }
    return STATUS_SUCCESS;
}

/* Any IRQL at which both are resident. STATUS_BUFFER_TOO_SMALL. Source may be NULL. */
NTSTATUS RtlAppendUnicodeToString(PUNICODE_STRING Destination, PCWSTR Source) {
    return Source == NULL ? STATUS_SUCCESS : Append(Destination, Source, wcslen(Source) * sizeof(WCHAR));
}

/* Any IRQL at which both are resident. STATUS_BUFFER_TOO_SMALL. An empty source changes nothing, not even the terminator. */
NTSTATUS RtlAppendUnicodeStringToString(PUNICODE_STRING Destination, PCUNICODE_STRING Source) {
    return Source->Length == 0 ? STATUS_SUCCESS : Append(Destination, Source->Buffer, Source->Length);
}

static LONG CompareText(PCWCH A, PCWCH B, SIZE_T Characters, BOOLEAN CaseInSensitive) {
    for (SIZE_T i = 0; i < Characters; i++) {
        WCHAR Left = A[i], Right = B[i];
        if (CaseInSensitive && Left != Right) {
            Left = RtlUpcaseUnicodeChar(Left);
            Right = RtlUpcaseUnicodeChar(Right);
        }
        if (Left != Right) {
            return (LONG)(USHORT)Left - (LONG)(USHORT)Right;
        }
    }
    return 0;
}

/* Any IRQL at which both are resident. Lengths in characters. < 0, 0, > 0. */
LONG RtlCompareUnicodeStrings(PCWCH String1, SIZE_T String1Length, PCWCH String2, SIZE_T String2Length,
                              BOOLEAN CaseInSensitive) {
    SIZE_T Shorter = String1Length < String2Length ? String1Length : String2Length;
    LONG Order = CompareText(String1, String2, Shorter, CaseInSensitive);
    return Order != 0 ? Order : (LONG)(String1Length - String2Length);
}

/* Any IRQL at which both are resident. < 0, 0, > 0. */
LONG RtlCompareUnicodeString(PCUNICODE_STRING A, PCUNICODE_STRING B, BOOLEAN CaseInSensitive) {
    return RtlCompareUnicodeStrings(A->Buffer, A->Length / sizeof(WCHAR), B->Buffer, B->Length / sizeof(WCHAR),
                                    CaseInSensitive);
}

/* Any IRQL at which both are resident. */
BOOLEAN RtlEqualUnicodeString(PCUNICODE_STRING A, PCUNICODE_STRING B, BOOLEAN CaseInSensitive) {
    return A->Length == B->Length && RtlCompareUnicodeString(A, B, CaseInSensitive) == 0;
}

/* Any IRQL at which both are resident. Does String2 begin with String1? */
BOOLEAN RtlPrefixUnicodeString(PCUNICODE_STRING String1, PCUNICODE_STRING String2, BOOLEAN CaseInSensitive) {
    return String1->Length <= String2->Length &&
           CompareText(String1->Buffer, String2->Buffer, String1->Length / sizeof(WCHAR), CaseInSensitive) == 0;
}

/* Any IRQL at which both are resident. Does String2 end with String1? */
BOOLEAN RtlSuffixUnicodeString(PCUNICODE_STRING String1, PCUNICODE_STRING String2, BOOLEAN CaseInSensitive) {
    return String1->Length <= String2->Length &&
           CompareText(String1->Buffer, String2->Buffer + (String2->Length - String1->Length) / sizeof(WCHAR),
                       String1->Length / sizeof(WCHAR), CaseInSensitive) == 0;
}

/* Any IRQL at which the string is resident. The only algorithm: hash * 65599 + character.
 * STATUS_INVALID_PARAMETER. */
NTSTATUS RtlHashUnicodeString(PCUNICODE_STRING String, BOOLEAN CaseInSensitive, ULONG HashAlgorithm, PULONG HashValue) {
    if (String == NULL || HashValue == NULL || HashAlgorithm > HASH_STRING_ALGORITHM_X65599) {
        return STATUS_INVALID_PARAMETER;
    }
    ULONG Hash = 0;
    for (ULONG i = 0; i < String->Length / sizeof(WCHAR); i++) {
        WCHAR Character = String->Buffer[i];
        Hash = Hash * 65599 + (USHORT)(CaseInSensitive ? RtlUpcaseUnicodeChar(Character) : Character);
    }
    *HashValue = Hash;
    return STATUS_SUCCESS;
}

/* strings.c: counted strings in buffers from paged pool, and conversions that allocate them.
 *
 * PASSIVE_LEVEL, all of this file: pool and both strings may be paged. AllocateDestinationString: the buffer is made
 * here, and RtlFree...String frees it; otherwise the caller's must hold the text. Conversions between character sets
 * terminate, and need room for that; changes of case do not. */
#include <ntddk.h>
#include <rtl.h>

#define STRING_TAG 0x67727453U /* 'Strg' */

static PVOID AllocateText(SIZE_T Bytes) {
    return ExAllocatePoolWithTag(PagedPool, Bytes, STRING_TAG);
}

/* Makes room for Bytes of text: a new buffer of just that size, or the caller's own. STATUS_NO_MEMORY,
 * STATUS_BUFFER_OVERFLOW. */
static NTSTATUS MakeRoom(PUNICODE_STRING String, ULONG Bytes, BOOLEAN Allocate) {
    if (Allocate) {
        String->Buffer = (PWCH)AllocateText(Bytes != 0 ? Bytes : sizeof(WCHAR));
        if (String->Buffer == NULL) {
            return STATUS_NO_MEMORY;
        }
        String->MaximumLength = (USHORT)Bytes;
    }
    return Bytes > String->MaximumLength ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
}

/* Room for Bytes of text and the terminator, which is written. STATUS_INVALID_PARAMETER_2: longer than a counted string
 * can be. */
static NTSTATUS MakeRoomTerminated(PUNICODE_STRING String, ULONG Bytes, BOOLEAN Allocate) {
    if (Bytes + sizeof(WCHAR) > UNICODE_STRING_MAX_BYTES) {
        return STATUS_INVALID_PARAMETER_2;
    }
    NTSTATUS Status = MakeRoom(String, Bytes + sizeof(WCHAR), Allocate);
    if (NT_SUCCESS(Status)) {
        String->Length = (USHORT)Bytes;
        String->Buffer[Bytes / sizeof(WCHAR)] = 0;
    }
    return Status;
}

/* No terminator is written, nor is there room for one in a new buffer. */
static NTSTATUS ConvertCase(PUNICODE_STRING To, PCUNICODE_STRING From, BOOLEAN Allocate, WCHAR (*Convert)(WCHAR)) {
    USHORT Bytes = From->Length;
    PCWCH Text = From->Buffer; /* From may be To */
    NTSTATUS Status = MakeRoom(To, Bytes, Allocate);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    for (ULONG i = 0; i < Bytes / sizeof(WCHAR); i++) {
        To->Buffer[i] = Convert(Text[i]);
    }
    To->Length = Bytes;
    return STATUS_SUCCESS;
}

NTSTATUS RtlUpcaseUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString,
                                BOOLEAN AllocateDestinationString) {
    return ConvertCase(DestinationString, SourceString, AllocateDestinationString, RtlUpcaseUnicodeChar);
}

NTSTATUS RtlDowncaseUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString,
                                  BOOLEAN AllocateDestinationString) {
    return ConvertCase(DestinationString, SourceString, AllocateDestinationString, RtlDowncaseUnicodeChar);
}

/* The text always ends in a terminator. Without room for all of it: as much as fits, and STATUS_BUFFER_OVERFLOW. */
NTSTATUS RtlUnicodeStringToAnsiString(PANSI_STRING DestinationString, PCUNICODE_STRING SourceString,
                                      BOOLEAN AllocateDestinationString) {
    ULONG Characters = SourceString->Length / sizeof(WCHAR);
    NTSTATUS Status = STATUS_SUCCESS;
    if (AllocateDestinationString) {
        DestinationString->Buffer = (PCHAR)AllocateText(Characters + 1);
        if (DestinationString->Buffer == NULL) {
            return STATUS_NO_MEMORY;
        }
        DestinationString->MaximumLength = (USHORT)(Characters + 1);
    } else if (Characters >= DestinationString->MaximumLength) {
        Status = STATUS_BUFFER_OVERFLOW;
        if (DestinationString->MaximumLength == 0) {
            DestinationString->Length = (USHORT)Characters;
            return Status;
        }
        Characters = DestinationString->MaximumLength - 1U;
    }
    for (ULONG i = 0; i < Characters; i++) {
        DestinationString->Buffer[i] = RtlUnicodeToAnsiChar(SourceString->Buffer[i]);
    }
    DestinationString->Buffer[Characters] = 0;
    DestinationString->Length = (USHORT)Characters;
    return Status;
}

NTSTATUS RtlAnsiStringToUnicodeString(PUNICODE_STRING DestinationString, PCANSI_STRING SourceString,
                                      BOOLEAN AllocateDestinationString) {
    ULONG Bytes = SourceString->Length * (ULONG)sizeof(WCHAR);
    NTSTATUS Status = MakeRoomTerminated(DestinationString, Bytes, AllocateDestinationString);
    for (ULONG i = 0; NT_SUCCESS(Status) && i < SourceString->Length; i++) {
        DestinationString->Buffer[i] = RtlAnsiToUnicodeChar(SourceString->Buffer[i]);
    }
    return Status;
}

/* NULL, or a string whose lengths and buffer go together. */
static BOOLEAN IsSound(PCUNICODE_STRING String) {
    return String == NULL ||
           (String->Length % sizeof(WCHAR) == 0 && String->MaximumLength % sizeof(WCHAR) == 0 &&
            String->Length <= String->MaximumLength && (String->Buffer != NULL || String->MaximumLength == 0));
}

/* STATUS_INVALID_PARAMETER, STATUS_NO_MEMORY. An empty source makes an empty string without a buffer, unless both flags
 * ask for one. */
NTSTATUS RtlDuplicateUnicodeString(ULONG Flags, PCUNICODE_STRING SourceString, PUNICODE_STRING DestinationString) {
    BOOLEAN Terminate = (Flags & RTL_DUPLICATE_UNICODE_STRING_NULL_TERMINATE) != 0;
    BOOLEAN AllocateNull = (Flags & RTL_DUPLICATE_UNICODE_STRING_ALLOCATE_NULL_STRING) != 0;
    if (Flags > 3 || (AllocateNull && !Terminate) || DestinationString == NULL || !IsSound(SourceString)) {
        return STATUS_INVALID_PARAMETER;
    }
    USHORT Bytes = SourceString == NULL ? 0 : SourceString->Length;
    RtlZeroMemory(DestinationString, sizeof(*DestinationString));
    if (Bytes == 0 && !AllocateNull) {
        return STATUS_SUCCESS;
    }
    PWCH Buffer = (PWCH)AllocateText(Bytes + sizeof(WCHAR));
    if (Buffer == NULL) {
        return STATUS_NO_MEMORY;
    }
    if (Bytes != 0) {
        RtlCopyMemory(Buffer, SourceString->Buffer, Bytes);
    }
    Buffer[Bytes / sizeof(WCHAR)] = 0;
    DestinationString->Buffer = Buffer;
    DestinationString->Length = Bytes;
    DestinationString->MaximumLength = (USHORT)(Bytes + (Terminate ? sizeof(WCHAR) : 0));
    return STATUS_SUCCESS;
}

/* Frees what the calls above made, and empties the string. An empty one is left alone. */
VOID RtlFreeUnicodeString(PUNICODE_STRING UnicodeString) {
    if (UnicodeString->Buffer != NULL) {
        ExFreePool(UnicodeString->Buffer);
        RtlZeroMemory(UnicodeString, sizeof(*UnicodeString));
    }
}

VOID RtlFreeAnsiString(PANSI_STRING AnsiString) {
    if (AnsiString->Buffer != NULL) {
        ExFreePool(AnsiString->Buffer);
        RtlZeroMemory(AnsiString, sizeof(*AnsiString));
    }
}

/* STATUS_NO_MEMORY. */
NTSTATUS RtlStringFromGUID(const GUID *Guid, PUNICODE_STRING GuidString) {
    CHAR Text[RTL_GUID_STRING_SIZE];
    NTSTATUS Status = MakeRoomTerminated(GuidString, sizeof(Text) * sizeof(WCHAR), TRUE);
    if (NT_SUCCESS(Status)) {
        RtlFormatGuid(Guid, Text);
        for (ULONG i = 0; i < sizeof(Text); i++) {
            GuidString->Buffer[i] = (WCHAR)Text[i];
        }
    }
    return Status;
}

/* ntstrsafe.h: strings that always end: every call gets the room there is, terminates, and says when it had to cut.
 *
 * Cch counts characters, Cb bytes, both with the terminator. STATUS_BUFFER_OVERFLOW: cut. STATUS_INVALID_PARAMETER: no
 * room at all, or more than NTSTRSAFE_MAX_CCH. The functions are inline over the kernel's _vsnprintf and _vsnwprintf. */
#ifndef _NTSTRSAFE_H_
#define _NTSTRSAFE_H_

#include <wdm.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NTSTRSAFE_MAX_CCH 0x7FFFFFFF
#define NTSTRSAFE_UNICODE_STRING_MAX_CCH 0x7FFF
typedef char *NTSTRSAFE_PSTR;
typedef const char *NTSTRSAFE_PCSTR;
typedef wchar_t *NTSTRSAFE_PWSTR;
typedef const wchar_t *NTSTRSAFE_PCWSTR;

FORCEINLINE NTSTATUS RtlStringCchVPrintfW(NTSTRSAFE_PWSTR Destination, size_t Cch, NTSTRSAFE_PCWSTR Format,
                                          va_list Arguments) {
    if (Cch == 0 || Cch > NTSTRSAFE_MAX_CCH) {
        return STATUS_INVALID_PARAMETER;
    }
    int Length = _vsnwprintf(Destination, Cch - 1, Format, Arguments);
    if (Length >= 0 && (size_t)Length < Cch - 1) {
        return STATUS_SUCCESS;
    }
    Destination[Cch - 1] = 0;
    return Length >= 0 ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;
}

FORCEINLINE NTSTATUS RtlStringCchVPrintfA(NTSTRSAFE_PSTR Destination, size_t Cch, NTSTRSAFE_PCSTR Format,
                                          va_list Arguments) {
    if (Cch == 0 || Cch > NTSTRSAFE_MAX_CCH) {
        return STATUS_INVALID_PARAMETER;
    }
    int Length = _vsnprintf(Destination, Cch - 1, Format, Arguments);
    if (Length >= 0 && (size_t)Length < Cch - 1) {
        return STATUS_SUCCESS;
    }
    Destination[Cch - 1] = 0;
    return Length >= 0 ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;
}

/* A function with "..." is never inlined, so these are ordinary static ones. */
__attribute__((unused)) static NTSTATUS RtlStringCchPrintfW(NTSTRSAFE_PWSTR Destination, size_t Cch,
                                                            NTSTRSAFE_PCWSTR Format, ...) {
    va_list Arguments;
    va_start(Arguments, Format);
    NTSTATUS Status = RtlStringCchVPrintfW(Destination, Cch, Format, Arguments);
    va_end(Arguments);
    return Status;
}

__attribute__((unused)) static NTSTATUS RtlStringCchPrintfA(NTSTRSAFE_PSTR Destination, size_t Cch,
                                                            NTSTRSAFE_PCSTR Format, ...) {
    va_list Arguments;
    va_start(Arguments, Format);
    NTSTATUS Status = RtlStringCchVPrintfA(Destination, Cch, Format, Arguments);
    va_end(Arguments);
    return Status;
}

__attribute__((unused)) static NTSTATUS RtlStringCbPrintfW(NTSTRSAFE_PWSTR Destination, size_t Cb,
                                                           NTSTRSAFE_PCWSTR Format, ...) {
    va_list Arguments;
    va_start(Arguments, Format);
    NTSTATUS Status = RtlStringCchVPrintfW(Destination, Cb / sizeof(wchar_t), Format, Arguments);
    va_end(Arguments);
    return Status;
}

__attribute__((unused)) static NTSTATUS RtlStringCbPrintfA(NTSTRSAFE_PSTR Destination, size_t Cb,
                                                           NTSTRSAFE_PCSTR Format, ...) {
    va_list Arguments;
    va_start(Arguments, Format);
    NTSTATUS Status = RtlStringCchVPrintfA(Destination, Cb, Format, Arguments);
    va_end(Arguments);
    return Status;
}

FORCEINLINE NTSTATUS RtlStringCchLengthW(NTSTRSAFE_PCWSTR String, size_t Cch, size_t *Length) {
    size_t Count = 0;
    while (String != NULL && Cch <= NTSTRSAFE_MAX_CCH && Count < Cch && String[Count] != 0) {
        Count++;
    }
    BOOLEAN IsGood = String != NULL && Cch <= NTSTRSAFE_MAX_CCH && Count < Cch;
    if (Length != NULL) {
        *Length = IsGood ? Count : 0;
    }
    return IsGood ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

FORCEINLINE NTSTATUS RtlStringCchLengthA(NTSTRSAFE_PCSTR String, size_t Cch, size_t *Length) {
    size_t Count = 0;
    while (String != NULL && Cch <= NTSTRSAFE_MAX_CCH && Count < Cch && String[Count] != 0) {
        Count++;
    }
    BOOLEAN IsGood = String != NULL && Cch <= NTSTRSAFE_MAX_CCH && Count < Cch;
    if (Length != NULL) {
        *Length = IsGood ? Count : 0;
    }
    return IsGood ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

FORCEINLINE NTSTATUS RtlStringCchCopyW(NTSTRSAFE_PWSTR Destination, size_t Cch, NTSTRSAFE_PCWSTR Source) {
    if (Cch == 0 || Cch > NTSTRSAFE_MAX_CCH) {
        return STATUS_INVALID_PARAMETER;
    }
    size_t i = 0;
    for (; i < Cch - 1 && Source[i] != 0; i++) {
        Destination[i] = Source[i];
    }
    Destination[i] = 0;
    return Source[i] == 0 ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;
}

FORCEINLINE NTSTATUS RtlStringCchCopyA(NTSTRSAFE_PSTR Destination, size_t Cch, NTSTRSAFE_PCSTR Source) {
    if (Cch == 0 || Cch > NTSTRSAFE_MAX_CCH) {
        return STATUS_INVALID_PARAMETER;
    }
    size_t i = 0;
    for (; i < Cch - 1 && Source[i] != 0; i++) {
        Destination[i] = Source[i];
    }
    Destination[i] = 0;
    return Source[i] == 0 ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;
}

FORCEINLINE NTSTATUS RtlStringCbCopyW(NTSTRSAFE_PWSTR Destination, size_t Cb, NTSTRSAFE_PCWSTR Source) {
    return RtlStringCchCopyW(Destination, Cb / sizeof(wchar_t), Source);
}

FORCEINLINE NTSTATUS RtlStringCbCopyA(NTSTRSAFE_PSTR Destination, size_t Cb, NTSTRSAFE_PCSTR Source) {
    return RtlStringCchCopyA(Destination, Cb, Source);
}

FORCEINLINE NTSTATUS RtlStringCchCatW(NTSTRSAFE_PWSTR Destination, size_t Cch, NTSTRSAFE_PCWSTR Source) {
    size_t Length;
    NTSTATUS Status = RtlStringCchLengthW(Destination, Cch, &Length);
    return NT_SUCCESS(Status) ? RtlStringCchCopyW(Destination + Length, Cch - Length, Source) : Status;
}

FORCEINLINE NTSTATUS RtlStringCchCatA(NTSTRSAFE_PSTR Destination, size_t Cch, NTSTRSAFE_PCSTR Source) {
    size_t Length;
    NTSTATUS Status = RtlStringCchLengthA(Destination, Cch, &Length);
    return NT_SUCCESS(Status) ? RtlStringCchCopyA(Destination + Length, Cch - Length, Source) : Status;
}

FORCEINLINE NTSTATUS RtlStringCbCatW(NTSTRSAFE_PWSTR Destination, size_t Cb, NTSTRSAFE_PCWSTR Source) {
    return RtlStringCchCatW(Destination, Cb / sizeof(wchar_t), Source);
}

/* As RtlInitUnicodeString, but refuses a string that a UNICODE_STRING cannot hold. */
FORCEINLINE NTSTATUS RtlUnicodeStringInit(PUNICODE_STRING Destination, NTSTRSAFE_PCWSTR Source) {
    size_t Length = 0;
    Destination->Length = Destination->MaximumLength = 0;
    Destination->Buffer = (PWCH)Source;
    if (Source == NULL) {
        return STATUS_SUCCESS;
    }
    NTSTATUS Status = RtlStringCchLengthW(Source, NTSTRSAFE_UNICODE_STRING_MAX_CCH, &Length);
    if (!NT_SUCCESS(Status)) {
        Destination->Buffer = NULL;
        return Status;
    }
    Destination->Length = (USHORT)(Length * sizeof(WCHAR));
    Destination->MaximumLength = (USHORT)(Destination->Length + sizeof(WCHAR));
    return STATUS_SUCCESS;
}

#ifdef __cplusplus
}
#endif
#endif

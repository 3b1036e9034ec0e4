/* ntstrsafe.h: strings that always end: each call knows the room, terminates, and reports a cut.
 *
 * Cch counts characters, Cb bytes, both with the terminator. STATUS_BUFFER_OVERFLOW: cut. STATUS_INVALID_PARAMETER: no
 * room at all, or more than NTSTRSAFE_MAX_CCH. The functions are inline over the kernel's _vsnprintf and _vsnwprintf;
 * PASSIVE_LEVEL by their documentation. */
#ifndef _NTSTRSAFE_H_
#define _NTSTRSAFE_H_

#include <wdm.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NTSTRSAFE_MAX_CCH 0x7FFFFFFF
#define NTSTRSAFE_UNICODE_STRING_MAX_CCH 0x7FFF
#define STRSAFE_IGNORE_NULLS 0x00000100
#define STRSAFE_FILL_BEHIND_NULL 0x00000200
#define STRSAFE_FILL_ON_FAILURE 0x00000400
#define STRSAFE_NULL_ON_FAILURE 0x00000800
#define STRSAFE_NO_TRUNCATION 0x00001000
#define STRSAFE_VALID_FLAGS 0x00001FFF
#define STRSAFE_FILL_BYTE(x) ((ULONG)(((x) & 0xFF) | STRSAFE_FILL_BEHIND_NULL))
#define STRSAFE_FAILURE_BYTE(x) ((ULONG)(((x) & 0xFF) | STRSAFE_FILL_ON_FAILURE))
typedef char *NTSTRSAFE_PSTR;
typedef const char *NTSTRSAFE_PCSTR;
typedef wchar_t *NTSTRSAFE_PWSTR;
typedef const wchar_t *NTSTRSAFE_PCWSTR;

#define SAFE_CHAR char
#define SAFE(Name) Name##A
#define SAFE_FORMAT _vsnprintf
#include <ntstrsafetext.h>
#undef SAFE_CHAR
#undef SAFE
#undef SAFE_FORMAT

#define SAFE_CHAR wchar_t
#define SAFE(Name) Name##W
#define SAFE_FORMAT _vsnwprintf
#include <ntstrsafetext.h>
#undef SAFE_CHAR
#undef SAFE
#undef SAFE_FORMAT

/* ---- Counted strings ---- */

/* STATUS_INVALID_PARAMETER: odd lengths, more text than room, or text without a buffer. NULL is an empty string with
 * STRSAFE_IGNORE_NULLS. */
static FORCEINLINE NTSTATUS RtlUnicodeStringValidateEx(PCUNICODE_STRING String, ULONG Flags) {
    if (String == NULL) {
        return Flags & STRSAFE_IGNORE_NULLS ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
    }
    BOOLEAN IsGood = String->Length % sizeof(WCHAR) == 0 && String->MaximumLength % sizeof(WCHAR) == 0 &&
                     String->Length <= String->MaximumLength && (String->Buffer != NULL || String->MaximumLength == 0);
    return IsGood ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

static FORCEINLINE NTSTATUS RtlUnicodeStringValidate(PCUNICODE_STRING String) {
    return RtlUnicodeStringValidateEx(String, 0);
}

/* The text of a counted string, as one that ends. */
static FORCEINLINE NTSTATUS RtlStringCchCopyUnicodeString(NTSTRSAFE_PWSTR Destination, size_t Cch,
                                                          PCUNICODE_STRING Source) {
    if (!NT_SUCCESS(RtlUnicodeStringValidate(Source))) {
        return STATUS_INVALID_PARAMETER;
    }
    return RtlStringCchCopyNW(Destination, Cch, Source->Buffer == NULL ? L"" : Source->Buffer,
                              Source->Length / sizeof(WCHAR));
}

static FORCEINLINE NTSTATUS RtlStringCbCopyUnicodeString(NTSTRSAFE_PWSTR Destination, size_t Cb,
                                                         PCUNICODE_STRING Source) {
    return RtlStringCchCopyUnicodeString(Destination, Cb / sizeof(WCHAR), Source);
}

/* As RtlInitUnicodeString, but refuses a string that a UNICODE_STRING cannot hold. */
static FORCEINLINE NTSTATUS RtlUnicodeStringInit(PUNICODE_STRING Destination, NTSTRSAFE_PCWSTR Source) {
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

static FORCEINLINE NTSTATUS RtlUnicodeStringInitEx(PUNICODE_STRING Destination, NTSTRSAFE_PCWSTR Source, ULONG Flags) {
    return Flags & ~(ULONG)STRSAFE_IGNORE_NULLS ? STATUS_INVALID_PARAMETER : RtlUnicodeStringInit(Destination, Source);
}

/* Text of Characters behind Used bytes of the destination; no terminator is needed or written. */
static FORCEINLINE NTSTATUS RtlSafePutUnicode(PUNICODE_STRING Destination, USHORT Used, const WCHAR *Text,
                                              size_t Characters) {
    size_t Room = (size_t)(Destination->MaximumLength - Used) / sizeof(WCHAR);
    NTSTATUS Status = Characters > Room ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
    size_t Count = Characters > Room ? Room : Characters;
    memmove((PUCHAR)Destination->Buffer + Used, Text, Count * sizeof(WCHAR));
    Destination->Length = (USHORT)(Used + Count * sizeof(WCHAR));
    return Status;
}

static FORCEINLINE NTSTATUS RtlUnicodeStringCopy(PUNICODE_STRING Destination, PCUNICODE_STRING Source) {
    if (!NT_SUCCESS(RtlUnicodeStringValidate(Destination)) || !NT_SUCCESS(RtlUnicodeStringValidate(Source))) {
        return STATUS_INVALID_PARAMETER;
    }
    return RtlSafePutUnicode(Destination, 0, Source->Buffer, Source->Length / sizeof(WCHAR));
}

static FORCEINLINE NTSTATUS RtlUnicodeStringCopyString(PUNICODE_STRING Destination, NTSTRSAFE_PCWSTR Source) {
    if (!NT_SUCCESS(RtlUnicodeStringValidate(Destination))) {
        return STATUS_INVALID_PARAMETER;
    }
    return RtlSafePutUnicode(Destination, 0, Source, wcslen(Source));
}

static FORCEINLINE NTSTATUS RtlUnicodeStringCchCopyStringN(PUNICODE_STRING Destination, NTSTRSAFE_PCWSTR Source,
                                                           size_t Limit) {
    if (!NT_SUCCESS(RtlUnicodeStringValidate(Destination))) {
        return STATUS_INVALID_PARAMETER;
    }
    return RtlSafePutUnicode(Destination, 0, Source, wcsnlen(Source, Limit));
}

static FORCEINLINE NTSTATUS RtlUnicodeStringCbCopyStringN(PUNICODE_STRING Destination, NTSTRSAFE_PCWSTR Source,
                                                          size_t LimitBytes) {
    return RtlUnicodeStringCchCopyStringN(Destination, Source, LimitBytes / sizeof(WCHAR));
}

static FORCEINLINE NTSTATUS RtlUnicodeStringCat(PUNICODE_STRING Destination, PCUNICODE_STRING Source) {
    if (!NT_SUCCESS(RtlUnicodeStringValidate(Destination)) || !NT_SUCCESS(RtlUnicodeStringValidate(Source))) {
        return STATUS_INVALID_PARAMETER;
    }
    return RtlSafePutUnicode(Destination, Destination->Length, Source->Buffer, Source->Length / sizeof(WCHAR));
}

static FORCEINLINE NTSTATUS RtlUnicodeStringCatString(PUNICODE_STRING Destination, NTSTRSAFE_PCWSTR Source) {
    if (!NT_SUCCESS(RtlUnicodeStringValidate(Destination))) {
        return STATUS_INVALID_PARAMETER;
    }
    return RtlSafePutUnicode(Destination, Destination->Length, Source, wcslen(Source));
}

static FORCEINLINE NTSTATUS RtlUnicodeStringVPrintf(PUNICODE_STRING Destination, NTSTRSAFE_PCWSTR Format,
                                                    va_list Arguments) {
    if (!NT_SUCCESS(RtlUnicodeStringValidate(Destination))) {
        return STATUS_INVALID_PARAMETER;
    }
    size_t Room = Destination->MaximumLength / sizeof(WCHAR);
    int Length = _vsnwprintf(Destination->Buffer, Room, Format, Arguments);
    Destination->Length = (USHORT)((Length < 0 ? Room : (size_t)Length) * sizeof(WCHAR));
    return Length < 0 ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
}

static __attribute__((unused)) NTSTATUS RtlUnicodeStringPrintf(PUNICODE_STRING Destination, NTSTRSAFE_PCWSTR Format,
                                                               ...) {
    va_list Arguments;
    va_start(Arguments, Format);
    NTSTATUS Status = RtlUnicodeStringVPrintf(Destination, Format, Arguments);
    va_end(Arguments);
    return Status;
}

#ifdef UNICODE
#define RtlStringCchPrintf RtlStringCchPrintfW
#define RtlStringCbPrintf RtlStringCbPrintfW
#define RtlStringCchCopy RtlStringCchCopyW
#define RtlStringCbCopy RtlStringCbCopyW
#define RtlStringCchCat RtlStringCchCatW
#define RtlStringCbCat RtlStringCbCatW
#define RtlStringCchLength RtlStringCchLengthW
#define RtlStringCbLength RtlStringCbLengthW
#endif

#ifdef __cplusplus
}
#endif
#endif

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
/* Of counted strings, which no terminator ends. */
#define STRSAFE_FILL_BEHIND STRSAFE_FILL_BEHIND_NULL
#define STRSAFE_ZERO_LENGTH_ON_FAILURE STRSAFE_NULL_ON_FAILURE
#define STRSAFE_UNICODE_STRING_VALID_FLAGS STRSAFE_VALID_FLAGS
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

/* ---- Counted strings: copies and concatenations ---- */

/* The flags' work afterwards, in NT's order, and the room that is left. Before: the bytes of text that were there. */
static FORCEINLINE NTSTATUS RtlSafeFinishUnicode(NTSTATUS Status, PUNICODE_STRING Destination, USHORT Before,
                                                 PUNICODE_STRING Remaining, ULONG Flags) {
    USHORT Room = (USHORT)(Destination->MaximumLength & ~1u);
    if (!NT_SUCCESS(Status) && Room != 0) {
        if ((Flags & STRSAFE_NO_TRUNCATION) && Status == STATUS_BUFFER_OVERFLOW) {
            Destination->Length = Before;
        }
        if (Flags & STRSAFE_FILL_ON_FAILURE) {
            memset(Destination->Buffer, (int)(Flags & 0xFF), Room);
            Destination->Length = (Flags & 0xFF) == 0 ? 0 : Room;
        }
        if (Flags & STRSAFE_ZERO_LENGTH_ON_FAILURE) {
            Destination->Length = 0;
        }
    } else if (NT_SUCCESS(Status) && (Flags & STRSAFE_FILL_BEHIND) && Destination->Length < Room) {
        memset((PUCHAR)Destination->Buffer + Destination->Length, (int)(Flags & 0xFF), Room - Destination->Length);
    }
    if (Remaining != NULL && (NT_SUCCESS(Status) || Status == STATUS_BUFFER_OVERFLOW)) {
        Remaining->Length = 0;
        Remaining->MaximumLength = (USHORT)(Destination->MaximumLength - Destination->Length);
        Remaining->Buffer = Destination->Buffer + Destination->Length / sizeof(WCHAR);
    }
    return Status;
}

/* Characters of Text to the front of the destination, or behind its text if IsAppended; no terminator is needed or written.
 * Without STRSAFE_IGNORE_NULLS neither may be NULL. Without any room an empty text is there, and another is not. */
static FORCEINLINE NTSTATUS RtlSafePutUnicode(PUNICODE_STRING Destination, BOOLEAN IsAppended, const WCHAR *Text,
                                              size_t Characters, PUNICODE_STRING Remaining, ULONG Flags) {
    UNICODE_STRING None = {0, 0, NULL};
    if ((Flags & ~(ULONG)STRSAFE_UNICODE_STRING_VALID_FLAGS) != 0 ||
        !NT_SUCCESS(RtlUnicodeStringValidateEx(Destination, Flags)) || (Text == NULL && Characters != 0)) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Destination == NULL && Characters != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Destination = Destination == NULL ? &None : Destination;
    USHORT Before = IsAppended ? Destination->Length : 0;
    size_t Room = (size_t)(Destination->MaximumLength - Before) / sizeof(WCHAR);
    NTSTATUS Status = Characters > Room ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
    if (NT_SUCCESS(Status) || !(Flags & STRSAFE_NO_TRUNCATION)) {
        size_t Count = Characters > Room ? Room : Characters;
        if (Count != 0) {
            memmove((PUCHAR)Destination->Buffer + Before, Text, Count * sizeof(WCHAR));
        }
        Destination->Length = (USHORT)(Before + Count * sizeof(WCHAR));
    }
    return RtlSafeFinishUnicode(Status, Destination, Before, Remaining, Flags);
}

/* The same from a counted string, of which at most Limit characters. */
static FORCEINLINE NTSTATUS RtlSafePutCounted(PUNICODE_STRING Destination, BOOLEAN IsAppended, PCUNICODE_STRING Source,
                                              size_t Limit, PUNICODE_STRING Remaining, ULONG Flags) {
    if (!NT_SUCCESS(RtlUnicodeStringValidateEx(Source, Flags))) {
        return STATUS_INVALID_PARAMETER;
    }
    size_t Characters = Source == NULL ? 0 : Source->Length / sizeof(WCHAR);
    return RtlSafePutUnicode(Destination, IsAppended, Source == NULL ? NULL : Source->Buffer,
                             Characters < Limit ? Characters : Limit, Remaining, Flags);
}

/* The same from text that ends. */
static FORCEINLINE NTSTATUS RtlSafePutText(PUNICODE_STRING Destination, BOOLEAN IsAppended, NTSTRSAFE_PCWSTR Source,
                                           size_t Limit, PUNICODE_STRING Remaining, ULONG Flags) {
    if (Source == NULL && !(Flags & STRSAFE_IGNORE_NULLS)) {
        return STATUS_INVALID_PARAMETER;
    }
    return RtlSafePutUnicode(Destination, IsAppended, Source, Source == NULL ? 0 : wcsnlen(Source, Limit), Remaining,
                             Flags);
}

/* Each of Copy and Cat, from a counted string and from text, with a limit in characters and in bytes, plain and Ex. */
#define RTL_SAFE_FAMILY(Verb_, IsAppended_)                                                                          \
    static FORCEINLINE NTSTATUS RtlUnicodeString##Verb_##Ex(PUNICODE_STRING Destination, PCUNICODE_STRING Source,    \
                                                            PUNICODE_STRING Remaining, ULONG Flags) {                \
        return RtlSafePutCounted(Destination, IsAppended_, Source, MAXUSHORT, Remaining, Flags);                     \
    }                                                                                                                \
    static FORCEINLINE NTSTATUS RtlUnicodeString##Verb_(PUNICODE_STRING Destination, PCUNICODE_STRING Source) {      \
        return RtlSafePutCounted(Destination, IsAppended_, Source, MAXUSHORT, NULL, 0);                              \
    }                                                                                                                \
    static FORCEINLINE NTSTATUS RtlUnicodeString##Verb_##StringEx(                                                   \
        PUNICODE_STRING Destination, NTSTRSAFE_PCWSTR Source, PUNICODE_STRING Remaining, ULONG Flags) {              \
        return RtlSafePutText(Destination, IsAppended_, Source, NTSTRSAFE_UNICODE_STRING_MAX_CCH, Remaining, Flags); \
    }                                                                                                                \
    static FORCEINLINE NTSTATUS RtlUnicodeString##Verb_##String(PUNICODE_STRING Destination,                         \
                                                                NTSTRSAFE_PCWSTR Source) {                           \
        return RtlSafePutText(Destination, IsAppended_, Source, NTSTRSAFE_UNICODE_STRING_MAX_CCH, NULL, 0);          \
    }                                                                                                                \
    RTL_SAFE_LIMITED(Cch##Verb_, IsAppended_, Limit)                                                                 \
    RTL_SAFE_LIMITED(Cb##Verb_, IsAppended_, Limit / sizeof(WCHAR))
#define RTL_SAFE_LIMITED(Name_, IsAppended_, Characters_)                                                              \
    static FORCEINLINE NTSTATUS RtlUnicodeString##Name_##NEx(PUNICODE_STRING Destination, PCUNICODE_STRING Source,     \
                                                             size_t Limit, PUNICODE_STRING Remaining, ULONG Flags) {   \
        return RtlSafePutCounted(Destination, IsAppended_, Source, Characters_, Remaining, Flags);                     \
    }                                                                                                                  \
    static FORCEINLINE NTSTATUS RtlUnicodeString##Name_##N(PUNICODE_STRING Destination, PCUNICODE_STRING Source,       \
                                                           size_t Limit) {                                             \
        return RtlSafePutCounted(Destination, IsAppended_, Source, Characters_, NULL, 0);                              \
    }                                                                                                                  \
    static FORCEINLINE NTSTATUS RtlUnicodeString##Name_##StringNEx(                                                    \
        PUNICODE_STRING Destination, NTSTRSAFE_PCWSTR Source, size_t Limit, PUNICODE_STRING Remaining, ULONG Flags) {  \
        return RtlSafePutText(Destination, IsAppended_, Source, Characters_, Remaining, Flags);                        \
    }                                                                                                                  \
    static FORCEINLINE NTSTATUS RtlUnicodeString##Name_##StringN(PUNICODE_STRING Destination, NTSTRSAFE_PCWSTR Source, \
                                                                 size_t Limit) {                                       \
        return RtlSafePutText(Destination, IsAppended_, Source, Characters_, NULL, 0);                                 \
    }
RTL_SAFE_FAMILY(Copy, FALSE)
RTL_SAFE_FAMILY(Cat, TRUE)

/* ---- Counted strings: printing ---- */

/* Printing has begun before it is known whether all fits: with STRSAFE_NO_TRUNCATION the text is empty then. */
static FORCEINLINE NTSTATUS RtlUnicodeStringVPrintfEx(PUNICODE_STRING Destination, PUNICODE_STRING Remaining,
                                                      ULONG Flags, NTSTRSAFE_PCWSTR Format, va_list Arguments) {
    UNICODE_STRING None = {0, 0, NULL};
    if ((Flags & ~(ULONG)STRSAFE_UNICODE_STRING_VALID_FLAGS) != 0 ||
        !NT_SUCCESS(RtlUnicodeStringValidateEx(Destination, Flags)) ||
        (Format == NULL && !(Flags & STRSAFE_IGNORE_NULLS))) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Destination == NULL && Format != NULL && Format[0] != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    Destination = Destination == NULL ? &None : Destination;
    size_t Room = Destination->MaximumLength / sizeof(WCHAR);
    int Length = Format == NULL ? 0 : _vsnwprintf(Destination->Buffer, Room, Format, Arguments);
    Destination->Length = (USHORT)((Length < 0 ? Room : (size_t)Length) * sizeof(WCHAR));
    return RtlSafeFinishUnicode(Length < 0 ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS, Destination, 0, Remaining, Flags);
}

static __attribute__((unused)) NTSTATUS RtlUnicodeStringPrintfEx(PUNICODE_STRING Destination, PUNICODE_STRING Remaining,
                                                                 ULONG Flags, NTSTRSAFE_PCWSTR Format, ...) {
    va_list Arguments;
    va_start(Arguments, Format);
    NTSTATUS Status = RtlUnicodeStringVPrintfEx(Destination, Remaining, Flags, Format, Arguments);
    va_end(Arguments);
    return Status;
}

static FORCEINLINE NTSTATUS RtlUnicodeStringVPrintf(PUNICODE_STRING Destination, NTSTRSAFE_PCWSTR Format,
                                                    va_list Arguments) {
    return RtlUnicodeStringVPrintfEx(Destination, NULL, 0, Format, Arguments);
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

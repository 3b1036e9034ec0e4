/* crt.c: the formatted printing of the C run-time library, as far as drivers import it, with its odd ends: the counted
 * functions leave out the terminator when it has no room. Wide text: PASSIVE_LEVEL, as documented. */
#include <ntddk.h>
#include <rtl.h>

/* The length; -1 when the text did not fit. A text of exactly Count characters has no terminator. */
int _vsnprintf(char *Buffer, size_t Count, const char *Format, va_list Arguments) {
    size_t Length = RtlFormatCharactersV(Buffer, Count, FALSE, Format, Arguments);
    if (Length < Count) {
        Buffer[Length] = 0;
    }
    return Length <= Count ? (int)Length : -1;
}

/* The same in UTF-16; Count is in characters. */
int _vsnwprintf(wchar_t *Buffer, size_t Count, const wchar_t *Format, va_list Arguments) {
    size_t Length = RtlFormatCharactersV(Buffer, Count, TRUE, Format, Arguments);
    if (Length < Count) {
        Buffer[Length] = 0;
    }
    return Length <= Count ? (int)Length : -1;
}

int _snprintf(char *Buffer, size_t Count, const char *Format, ...) {
    va_list Arguments;
    va_start(Arguments, Format);
    int Length = _vsnprintf(Buffer, Count, Format, Arguments);
    va_end(Arguments);
    return Length;
}

int _snwprintf(wchar_t *Buffer, size_t Count, const wchar_t *Format, ...) {
    va_list Arguments;
    va_start(Arguments, Format);
    int Length = _vsnwprintf(Buffer, Count, Format, Arguments);
    va_end(Arguments);
    return Length;
}

/* Unbounded: the caller answers for the room. */
int sprintf(char *Buffer, const char *Format, ...) {
    va_list Arguments;
    va_start(Arguments, Format);
    int Length = _vsnprintf(Buffer, MAXLONG, Format, Arguments);
    va_end(Arguments);
    return Length;
}

/* The length; -1 and an empty text when it does not fit with its terminator. */
int sprintf_s(char *Buffer, size_t Count, const char *Format, ...) {
    va_list Arguments;
    va_start(Arguments, Format);
    int Length = _vsnprintf(Buffer, Count, Format, Arguments);
    va_end(Arguments);
    if (Length < 0 || (size_t)Length >= Count) {
        if (Count != 0) {
            Buffer[0] = 0;
        }
        return -1;
    }
    return Length;
}

/* The length in characters; -1 and an empty text when it does not fit with its terminator. */
int swprintf_s(wchar_t *Buffer, size_t Count, const wchar_t *Format, ...) {
    va_list Arguments;
    va_start(Arguments, Format);
    int Length = _vsnwprintf(Buffer, Count, Format, Arguments);
    va_end(Arguments);
    if (Length < 0 || (size_t)Length >= Count) {
        if (Count != 0) {
            Buffer[0] = 0;
        }
        return -1;
    }
    return Length;
}

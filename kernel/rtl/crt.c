/* crt.c: the C run-time library's formatted printing, as far as drivers import it. Its odd ends are kept: the counted
 * functions leave out the terminator when it has no room, the _s functions empty the buffer. Wide text: PASSIVE_LEVEL,
 * as documented. */
#include <ntddk.h>
#include <rtl.h>

#define UNBOUNDED MAXLONG /* the caller vouches for the room */
#define FORWARD(Call_)           \
    va_list Arguments;           \
    va_start(Arguments, Format); \
    int Length = Call_;          \
    va_end(Arguments);           \
    return Length

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

/* The length; -1 and an empty text when it does not fit with its terminator. */
int vsprintf_s(char *Buffer, size_t Count, const char *Format, va_list Arguments) {
    int Length = _vsnprintf(Buffer, Count, Format, Arguments);
    if (Length >= 0 && (size_t)Length < Count) {
        return Length;
    }
    if (Count != 0) {
        Buffer[0] = 0;
    }
    return -1;
}

/* The same in UTF-16. */
int vswprintf_s(wchar_t *Buffer, size_t Count, const wchar_t *Format, va_list Arguments) {
    int Length = _vsnwprintf(Buffer, Count, Format, Arguments);
    if (Length >= 0 && (size_t)Length < Count) {
        return Length;
    }
    if (Count != 0) {
        Buffer[0] = 0;
    }
    return -1;
}

/* At most Count characters (_TRUNCATE: as many as fit), always terminated; -1 when that was not all. A text that fits
 * neither Count nor Room empties the buffer. */
int _vsnprintf_s(char *Buffer, size_t Room, size_t Count, const char *Format, va_list Arguments) {
    if (Buffer == NULL || Room == 0) {
        return -1;
    }
    size_t Limit = Count < Room ? Count : Room - 1;
    size_t Length = RtlFormatCharactersV(Buffer, Limit, FALSE, Format, Arguments);
    if (Length <= Limit) {
        Buffer[Length] = 0;
        return (int)Length;
    }
    Buffer[Count < Room || Count == _TRUNCATE ? Limit : 0] = 0;
    return -1;
}

/* The same in UTF-16. */
int _vsnwprintf_s(wchar_t *Buffer, size_t Room, size_t Count, const wchar_t *Format, va_list Arguments) {
    if (Buffer == NULL || Room == 0) {
        return -1;
    }
    size_t Limit = Count < Room ? Count : Room - 1;
    size_t Length = RtlFormatCharactersV(Buffer, Limit, TRUE, Format, Arguments);
    if (Length <= Limit) {
        Buffer[Length] = 0;
        return (int)Length;
    }
    Buffer[Count < Room || Count == _TRUNCATE ? Limit : 0] = 0;
    return -1;
}

int _snprintf(char *Buffer, size_t Count, const char *Format, ...) {
    FORWARD(_vsnprintf(Buffer, Count, Format, Arguments));
}

int _snwprintf(wchar_t *Buffer, size_t Count, const wchar_t *Format, ...) {
    FORWARD(_vsnwprintf(Buffer, Count, Format, Arguments));
}

int _snprintf_s(char *Buffer, size_t Room, size_t Count, const char *Format, ...) {
    FORWARD(_vsnprintf_s(Buffer, Room, Count, Format, Arguments));
}

int _snwprintf_s(wchar_t *Buffer, size_t Room, size_t Count, const wchar_t *Format, ...) {
    FORWARD(_vsnwprintf_s(Buffer, Room, Count, Format, Arguments));
}

int vsprintf(char *Buffer, const char *Format, va_list Arguments) {
    return _vsnprintf(Buffer, UNBOUNDED, Format, Arguments);
}

int sprintf(char *Buffer, const char *Format, ...) {
    FORWARD(_vsnprintf(Buffer, UNBOUNDED, Format, Arguments));
}

int swprintf(wchar_t *Buffer, const wchar_t *Format, ...) {
    FORWARD(_vsnwprintf(Buffer, UNBOUNDED, Format, Arguments));
}

int _swprintf(wchar_t *Buffer, const wchar_t *Format, ...) {
    FORWARD(_vsnwprintf(Buffer, UNBOUNDED, Format, Arguments));
}

int sprintf_s(char *Buffer, size_t Count, const char *Format, ...) {
    FORWARD(vsprintf_s(Buffer, Count, Format, Arguments));
}

int swprintf_s(wchar_t *Buffer, size_t Count, const wchar_t *Format, ...) {
    FORWARD(vswprintf_s(Buffer, Count, Format, Arguments));
}

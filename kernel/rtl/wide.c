/* wide.c: terminated strings of UTF-16, the C run-time library's wcs family. wchar_t has 16 bits here. */
#include <ntddk.h>

/* Any IRQL. In characters, without the terminator. */
size_t wcslen(const wchar_t *String) {
    size_t Length = 0;
    while (String[Length] != 0) {
        Length++;
    }
    return Length;
}

/* Any IRQL. The length, but at most Maximum. */
size_t wcsnlen(const wchar_t *String, size_t Maximum) {
    size_t Length = 0;
    while (Length < Maximum && String[Length] != 0) {
        Length++;
    }
    return Length;
}

/* Any IRQL. */
int wcsncmp(const wchar_t *A, const wchar_t *B, size_t Count) {
    for (; Count != 0; Count--, A++, B++) {
        if (*A != *B || *A == 0) {
            return (int)(USHORT)*A - (int)(USHORT)*B;
        }
    }
    return 0;
}

/* Any IRQL. */
int wcscmp(const wchar_t *A, const wchar_t *B) {
    return wcsncmp(A, B, (size_t)-1);
}

/* Any IRQL. The case of letters does not count. */
int _wcsnicmp(const wchar_t *A, const wchar_t *B, size_t Count) {
    for (; Count != 0; Count--, A++, B++) {
        int Left = (USHORT)RtlDowncaseUnicodeChar(*A), Right = (USHORT)RtlDowncaseUnicodeChar(*B);
        if (Left != Right || *A == 0) {
            return Left - Right;
        }
    }
    return 0;
}

/* Any IRQL. */
int _wcsicmp(const wchar_t *A, const wchar_t *B) {
    return _wcsnicmp(A, B, (size_t)-1);
}

/* Any IRQL. Unbounded: the caller vouches for the room, here and in the next three. */
wchar_t *wcscpy(wchar_t *Destination, const wchar_t *Source) {
    memcpy(Destination, Source, (wcslen(Source) + 1) * sizeof(wchar_t));
    return Destination;
}

/* Any IRQL. At most Count characters; fills the rest with zeros; no terminator when there is no room for it. */
wchar_t *wcsncpy(wchar_t *Destination, const wchar_t *Source, size_t Count) {
    size_t Length = wcsnlen(Source, Count);
    memcpy(Destination, Source, Length * sizeof(wchar_t));
    memset(Destination + Length, 0, (Count - Length) * sizeof(wchar_t));
    return Destination;
}

/* Any IRQL. */
wchar_t *wcscat(wchar_t *Destination, const wchar_t *Source) {
    wcscpy(Destination + wcslen(Destination), Source);
    return Destination;
}

/* Any IRQL. At most Count characters of the source, always terminated. */
wchar_t *wcsncat(wchar_t *Destination, const wchar_t *Source, size_t Count) {
    size_t Length = wcsnlen(Source, Count);
    wchar_t *End = Destination + wcslen(Destination);
    memcpy(End, Source, Length * sizeof(wchar_t));
    End[Length] = 0;
    return Destination;
}

/* Any IRQL. 0, or EINVAL for a bad argument, ERANGE when it does not fit; then the destination is empty. Count of
 * _TRUNCATE: as much as fits, and 80 (STRUNCATE) when that was not all. */
errno_t wcsncpy_s(wchar_t *Destination, rsize_t Room, const wchar_t *Source, rsize_t Count) {
    if (Destination == NULL || Room == 0) {
        return EINVAL;
    }
    Destination[0] = 0;
    if (Source == NULL) {
        return EINVAL;
    }
    size_t Length = wcsnlen(Source, Count == _TRUNCATE ? Room : Count);
    errno_t Result = 0;
    if (Length >= Room) {
        if (Count != _TRUNCATE) {
            return ERANGE;
        }
        Length = Room - 1;
        Result = 80;
    }
    memcpy(Destination, Source, Length * sizeof(wchar_t));
    Destination[Length] = 0;
    return Result;
}

/* Any IRQL. As wcsncpy_s. */
errno_t wcscpy_s(wchar_t *Destination, rsize_t Room, const wchar_t *Source) {
    return wcsncpy_s(Destination, Room, Source, _TRUNCATE - 1);
}

/* Any IRQL. As wcsncpy_s; EINVAL also when the destination has no end. */
errno_t wcscat_s(wchar_t *Destination, rsize_t Room, const wchar_t *Source) {
    if (Destination == NULL || Room == 0) {
        return EINVAL;
    }
    size_t Length = wcsnlen(Destination, Room);
    errno_t Result = Length == Room ? EINVAL : wcscpy_s(Destination + Length, Room - Length, Source);
    if (Result != 0) {
        Destination[0] = 0;
    }
    return Result;
}

/* Any IRQL. NULL: not found; the terminator counts as part of the string. */
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

/* Any IRQL. */
wchar_t *wcsstr(const wchar_t *String, const wchar_t *Part) {
    size_t Length = wcslen(Part);
    for (; *String != 0 || Length == 0; String++) {
        if (wcsncmp(String, Part, Length) == 0) {
            return (wchar_t *)String;
        }
    }
    return NULL;
}

/* Any IRQL. The length of the beginning that consists of characters of Set. */
size_t wcsspn(const wchar_t *String, const wchar_t *Set) {
    size_t Length = 0;
    while (String[Length] != 0 && wcschr(Set, String[Length]) != NULL) {
        Length++;
    }
    return Length;
}

/* Any IRQL. In place. */
wchar_t *_wcsupr(wchar_t *String) {
    for (wchar_t *Character = String; *Character != 0; Character++) {
        *Character = RtlUpcaseUnicodeChar(*Character);
    }
    return String;
}

/* Any IRQL. In place. */
wchar_t *_wcslwr(wchar_t *String) {
    for (wchar_t *Character = String; *Character != 0; Character++) {
        *Character = RtlDowncaseUnicodeChar(*Character);
    }
    return String;
}

/* Any IRQL. */
wchar_t towupper(wchar_t Character) {
    return RtlUpcaseUnicodeChar(Character);
}

/* Any IRQL. */
wchar_t towlower(wchar_t Character) {
    return RtlDowncaseUnicodeChar(Character);
}

/* narrow.c: the str family of the C run-time library beyond the kernel's own use (string.c). */
#include <ntddk.h>

/* Any IRQL. NULL: not found. */
void *memchr(const void *Memory, int Value, size_t Length) {
    const UCHAR *Byte = Memory;
    for (; Length != 0; Length--, Byte++) {
        if (*Byte == (UCHAR)Value) {
            return (void *)Byte;
        }
    }
    return NULL;
}

/* Any IRQL. 0; EINVAL for a NULL, ERANGE when it does not fit, and then the destination is all zeros. */
errno_t memmove_s(void *Destination, rsize_t Room, const void *Source, rsize_t Length) {
    if (Length == 0) {
        return 0;
    }
    if (Destination == NULL) {
        return EINVAL;
    }
    if (Source == NULL || Length > Room) {
        memset(Destination, 0, Room);
        return Source == NULL ? EINVAL : ERANGE;
    }
    memmove(Destination, Source, Length);
    return 0;
}

/* Any IRQL. */
errno_t memcpy_s(void *Destination, rsize_t Room, const void *Source, rsize_t Length) {
    return memmove_s(Destination, Room, Source, Length);
}

/* Any IRQL. The case of ASCII letters does not count. */
int _strnicmp(const char *A, const char *B, size_t Count) {
    for (; Count != 0; Count--, A++, B++) {
        int Left = tolower((UCHAR)*A), Right = tolower((UCHAR)*B);
        if (Left != Right || *A == 0) {
            return Left - Right;
        }
    }
    return 0;
}

/* Any IRQL. Unbounded: the caller vouches for the room, here and in the next three. */
char *strcpy(char *Destination, const char *Source) {
    memcpy(Destination, Source, strlen(Source) + 1);
    return Destination;
}

/* Any IRQL. At most Count characters; fills the rest with zeros; no terminator when there is no room for it. */
char *strncpy(char *Destination, const char *Source, size_t Count) {
    size_t Length = strnlen(Source, Count);
    memcpy(Destination, Source, Length);
    memset(Destination + Length, 0, Count - Length);
    return Destination;
}

/* Any IRQL. */
char *strcat(char *Destination, const char *Source) {
    strcpy(Destination + strlen(Destination), Source);
    return Destination;
}

/* Any IRQL. At most Count characters of the source, always terminated. */
char *strncat(char *Destination, const char *Source, size_t Count) {
    size_t Length = strnlen(Source, Count);
    char *End = Destination + strlen(Destination);
    memcpy(End, Source, Length);
    End[Length] = 0;
    return Destination;
}

/* Any IRQL. 0, or EINVAL for a bad argument, ERANGE when it does not fit; then the destination is empty. Count of
 * _TRUNCATE: as much as fits, and 80 (STRUNCATE) when that was not all. */
errno_t strncpy_s(char *Destination, rsize_t Room, const char *Source, rsize_t Count) {
    if (Destination == NULL || Room == 0) {
        return EINVAL;
    }
    Destination[0] = 0;
    if (Source == NULL) {
        return EINVAL;
    }
    size_t Length = strnlen(Source, Count == _TRUNCATE ? Room : Count);
    errno_t Result = 0;
    if (Length >= Room) {
        if (Count != _TRUNCATE) {
            return ERANGE;
        }
        Length = Room - 1;
        Result = 80;
    }
    memcpy(Destination, Source, Length);
    Destination[Length] = 0;
    return Result;
}

/* Any IRQL. As strncpy_s. */
errno_t strcpy_s(char *Destination, rsize_t Room, const char *Source) {
    return strncpy_s(Destination, Room, Source, _TRUNCATE - 1);
}

/* Any IRQL. As strncpy_s; EINVAL also when the destination has no end. */
errno_t strcat_s(char *Destination, rsize_t Room, const char *Source) {
    if (Destination == NULL || Room == 0) {
        return EINVAL;
    }
    size_t Length = strnlen(Destination, Room);
    errno_t Result = Length == Room ? EINVAL : strcpy_s(Destination + Length, Room - Length, Source);
    if (Result != 0) {
        Destination[0] = 0;
    }
    return Result;
}

/* Any IRQL. The length of the beginning that consists of characters of Set. */
size_t strspn(const char *String, const char *Set) {
    size_t Length = 0;
    while (String[Length] != 0 && strchr(Set, String[Length]) != NULL) {
        Length++;
    }
    return Length;
}

/* Any IRQL. In place, ASCII. */
char *_strlwr(char *String) {
    for (char *Character = String; *Character != 0; Character++) {
        *Character = (char)tolower((UCHAR)*Character);
    }
    return String;
}

/* Any IRQL. In place, ASCII. */
char *_strupr(char *String) {
    for (char *Character = String; *Character != 0; Character++) {
        *Character = (char)toupper((UCHAR)*Character);
    }
    return String;
}

/* Any IRQL. NULL: not found; the terminator counts as part of the string. */
char *strchr(const char *String, int Character) {
    for (;; String++) {
        if (*String == (char)Character) {
            return (char *)String;
        }
        if (*String == 0) {
            return NULL;
        }
    }
}

/* Any IRQL. */
char *strrchr(const char *String, int Character) {
    const char *Last = NULL;
    for (;; String++) {
        if (*String == (char)Character) {
            Last = String;
        }
        if (*String == 0) {
            return (char *)Last;
        }
    }
}

/* Any IRQL. */
char *strstr(const char *String, const char *Part) {
    size_t Length = strlen(Part);
    for (; *String != 0 || Length == 0; String++) {
        if (strncmp(String, Part, Length) == 0) {
            return (char *)String;
        }
    }
    return NULL;
}

/* Any IRQL at which both are resident. The number of equal bytes before the first that differs. */
SIZE_T RtlCompareMemory(const VOID *Source1, const VOID *Source2, SIZE_T Length) {
    const UCHAR *Left = Source1, *Right = Source2;
    SIZE_T Equal = 0;
    while (Equal < Length && Left[Equal] == Right[Equal]) {
        Equal++;
    }
    return Equal;
}

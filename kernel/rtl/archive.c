/* archive.c: the "newc" cpio archive in memory, read without trusting any of its numbers.
 *
 * Each file is a header of 110 characters (a magic and 13 hexadecimal fields of 8 digits), its name with a terminator,
 * padding to 4 bytes, its data, padding to 4 bytes. The name "TRAILER!!!" ends the archive. */
#include <ntddk.h>
#include <rtl.h>

#define HEADER_BYTES 110
#define FIELD_FILE_SIZE 6
#define FIELD_NAME_SIZE 11
#define TRAILER "TRAILER!!!"

/* One field of a header; FALSE when it is no number. */
static BOOLEAN ReadField(const CHAR *Header, ULONG Field, SIZE_T *Value) {
    const CHAR *Digits = Header + 6 + 8 * Field;
    SIZE_T Number = 0;
    for (ULONG i = 0; i < 8; i++) {
        CHAR Digit = Digits[i];
        if (Digit >= '0' && Digit <= '9') {
            Number = Number << 4 | (SIZE_T)(Digit - '0');
        } else if (Digit >= 'a' && Digit <= 'f') {
            Number = Number << 4 | (SIZE_T)(Digit - 'a' + 10);
        } else if (Digit >= 'A' && Digit <= 'F') {
            Number = Number << 4 | (SIZE_T)(Digit - 'A' + 10);
        } else {
            return FALSE;
        }
    }
    *Value = Number;
    return TRUE;
}

static SIZE_T AlignUp(SIZE_T Value) {
    return (Value + 3) & ~(SIZE_T)3;
}

/* Any IRQL. *Offset is 0 at first, and then the last call's. FALSE: the end, or the first damaged header. */
BOOLEAN RtlNextArchiveFile(const void *Archive, SIZE_T Bytes, SIZE_T *Offset, PCSTR *Name, const void **Data,
                           SIZE_T *DataBytes) {
    SIZE_T Start = *Offset, NameBytes, FileBytes;
    const CHAR *Base = Archive;
    if (Start > Bytes || Bytes - Start < HEADER_BYTES || memcmp(Base + Start, "07070", 5) != 0 ||
        (Base[Start + 5] != '1' && Base[Start + 5] != '2') || !ReadField(Base + Start, FIELD_NAME_SIZE, &NameBytes) ||
        !ReadField(Base + Start, FIELD_FILE_SIZE, &FileBytes)) {
        return FALSE;
    }
    /* Sizes are below 2^32, so no sum here overflows. */
    SIZE_T NameStart = Start + HEADER_BYTES, DataStart = AlignUp(NameStart + NameBytes);
    if (NameBytes == 0 || DataStart > Bytes || FileBytes > Bytes - DataStart || Base[NameStart + NameBytes - 1] != 0 ||
        strcmp(Base + NameStart, TRAILER) == 0) {
        return FALSE;
    }
    *Name = Base + NameStart;
    *Data = Base + DataStart;
    *DataBytes = FileBytes;
    *Offset = AlignUp(DataStart + FileBytes);
    return TRUE;
}

/* Any IRQL. "./" in front of a stored name does not count. */
BOOLEAN RtlFindArchiveFile(const void *Archive, SIZE_T Bytes, PCSTR Name, const void **Data, SIZE_T *DataBytes) {
    SIZE_T Offset = 0;
    PCSTR Found;
    while (RtlNextArchiveFile(Archive, Bytes, &Offset, &Found, Data, DataBytes)) {
        if (Found[0] == '.' && Found[1] == '/') {
            Found += 2;
        }
        if (strcmp(Found, Name) == 0) {
            return TRUE;
        }
    }
    return FALSE;
}

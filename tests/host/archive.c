/* archive.c: reads a real archive (argv[1], made by cpio), then every truncation of it and many damaged copies: the
 * reader may find less, but must never look outside. */
#include <ntddk.h>
#include <rtl.h>

int CheckFailures;

typedef struct _FILE FILE;
FILE *fopen(const char *Name, const char *Mode);
size_t fread(void *Buffer, size_t Size, size_t Count, FILE *File);
void *malloc(size_t Bytes);
void free(void *Memory);

static unsigned CountFiles(const void *Archive, SIZE_T Bytes) {
    SIZE_T Offset = 0, Length;
    PCSTR Name;
    const void *Data;
    unsigned Count = 0, Sum = 0;
    while (RtlNextArchiveFile(Archive, Bytes, &Offset, &Name, &Data, &Length)) {
        for (SIZE_T i = 0; i < Length; i++) {
            Sum += ((const UCHAR *)Data)[i]; /* the address sanitizer looks on */
        }
        Sum += (unsigned)strlen(Name);
        Count++;
    }
    return Sum == 0 && Count != 0 ? 0 : Count;
}

static void Finds_each_file(const void *Archive, SIZE_T Bytes) {
    const void *Data;
    SIZE_T Length;
    CHECK(CountFiles(Archive, Bytes) == 4); /* with the folder */
    CHECK(RtlFindArchiveFile(Archive, Bytes, "drivers/a.sys", &Data, &Length) && Length == 5 &&
          memcmp(Data, "hello", 5) == 0);
    CHECK(RtlFindArchiveFile(Archive, Bytes, "drivers/empty.sys", &Data, &Length) && Length == 0);
    CHECK(RtlFindArchiveFile(Archive, Bytes, "drivers/long.sys", &Data, &Length) && Length == 1000);
    CHECK(!RtlFindArchiveFile(Archive, Bytes, "drivers/none.sys", &Data, &Length));
    CHECK(!RtlFindArchiveFile(Archive, Bytes, "TRAILER!!!", &Data, &Length));
    CHECK(!RtlFindArchiveFile(Archive, 0, "drivers/a.sys", &Data, &Length));
}

static void Survives_truncation(const void *Archive, SIZE_T Bytes) {
    for (SIZE_T Length = 0; Length < Bytes; Length++) {
        void *Copy = malloc(Length == 0 ? 1 : Length);
        memcpy(Copy, Archive, Length);
        CHECK(CountFiles(Copy, Length) <= 4);
        free(Copy);
    }
}

static void Survives_damage(const void *Archive, SIZE_T Bytes) {
    ULONG64 Random = 88172645463325252ULL;
    for (unsigned Round = 0; Round < 20000; Round++) {
        UCHAR *Copy = malloc(Bytes);
        memcpy(Copy, Archive, Bytes);
        for (unsigned Change = 0; Change < 3; Change++) {
            Random ^= Random << 13, Random ^= Random >> 7, Random ^= Random << 17;
            /* Mostly hexadecimal digits: sizes that are valid and wrong. */
            Copy[(Random >> 8) % Bytes] = (Random & 3) != 0 ? (UCHAR) "0123456789abcdeF"[Random >> 60] : (UCHAR)Random;
        }
        CountFiles(Copy, Bytes);
        free(Copy);
    }
}

int main(int Count, char **Arguments) {
    static UCHAR Archive[1 << 16];
    FILE *File = Count == 2 ? fopen(Arguments[1], "rb") : NULL;
    if (File == NULL) {
        printf("usage: archive FILE\n");
        return 2;
    }
    SIZE_T Bytes = fread(Archive, 1, sizeof(Archive), File);
    Finds_each_file(Archive, Bytes);
    Survives_truncation(Archive, Bytes);
    Survives_damage(Archive, Bytes);
    return CheckFailures != 0;
}

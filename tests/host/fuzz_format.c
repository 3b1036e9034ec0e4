/* fuzz_format.c: printing by arbitrary formats: with any format, no byte outside the buffer is written, and the
 * text ends. Each argument is good for every conversion. Built with -fsanitize=fuzzer for libFuzzer. */
#include <ntstrsafe.h>
#include <rtl.h>

int CheckFailures;
_Noreturn void abort(void);
void *malloc(size_t Bytes);
void free(void *Memory);
void *mmap(void *Address, size_t Bytes, int Protection, int Flags, int File, long Offset);

#define TEN P, P, P, P, P, P, P, P, P, P
#define MANY TEN, TEN, TEN, TEN, TEN, TEN, TEN /* "%*d" takes two for three characters */
#define LONGEST_FORMAT 100

/* As a string: three characters; wide: the same; counted: what Buffer has. */
typedef struct _ARGUMENT {
    UNICODE_STRING Counted;
    ULONG64 End;
} ARGUMENT;

/* Where it may lie: taken as a width or a precision, the low half of the address is small, the largest, or the least
 * number. Chosen, not random, so that a run can be repeated. */
static const ULONG64 Places[] = {0x200000001010, 0x20007FFFFFE0, 0x200080000000};

static PVOID Place(ULONG Which) {
    static BOOLEAN IsMapped[3];
    ARGUMENT *Argument = (ARGUMENT *)Places[Which];
    if (!IsMapped[Which]) {
        PVOID Page = (PVOID)(Places[Which] & ~0xFFFULL);
        if (mmap(Page, 0x1000, 3 /* read, write */, 0x32 /* private, fixed, anonymous */, -1, 0) != Page) {
            abort();
        }
        IsMapped[Which] = TRUE;
    }
    *Argument = (ARGUMENT){{6, 8, (PWCH)L"wide"}, 0};
    return Argument;
}

int LLVMFuzzerTestOneInput(const UCHAR *Data, SIZE_T Bytes) {
    if (Bytes < 2 || Bytes > LONGEST_FORMAT) {
        return 0;
    }
    SIZE_T Room = (SIZE_T)Data[0] * 2 + 1;
    CHAR Format[256];
    WCHAR Wide[256];
    for (SIZE_T i = 0; i < Bytes - 1; i++) {
        Format[i] = (CHAR)Data[i + 1];
        Wide[i] = Data[i + 1];
    }
    Format[Bytes - 1] = 0;
    Wide[Bytes - 1] = 0;
    PVOID P = Place(Data[0] % 3);
    PCHAR Text = malloc(Room);
    int Length = RtlFormat(Text, Room, Format, MANY);
    CHECK(Length >= -1 && strnlen(Text, Room) < Room);
    free(Text);
    Text = malloc(Room);
    Length = _snprintf(Text, Room, Format, MANY);
    CHECK(Length >= -1 && Length <= (int)Room);
    free(Text);
    PWCH WideText = malloc(Room * sizeof(WCHAR));
    NTSTATUS Status = RtlStringCchPrintfW(WideText, Room, Wide, MANY);
    CHECK(Status == STATUS_SUCCESS || Status == STATUS_BUFFER_OVERFLOW || Status == STATUS_INVALID_PARAMETER);
    CHECK(WideText[NT_SUCCESS(Status) ? 0 : Room - 1] == 0 || NT_SUCCESS(Status) || Status == STATUS_INVALID_PARAMETER);
    free(WideText);
    if (CheckFailures != 0) {
        abort();
    }
    return 0;
}

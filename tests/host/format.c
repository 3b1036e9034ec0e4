/* format.c: NT's formats, narrow and wide, compared with what the documentation says they print. */
#include <ntstrsafe.h>
#include <rtl.h>

int CheckFailures;

#define PRINTS(Expected, ...)                                       \
    do {                                                            \
        char Text_[200];                                            \
        int Length_ = RtlFormat(Text_, sizeof(Text_), __VA_ARGS__); \
        CHECK(strcmp(Text_, Expected) == 0);                        \
        CHECK((size_t)Length_ == strlen(Expected));                 \
        if (strcmp(Text_, Expected) != 0) {                         \
            printf("    got '%s', not '%s'\n", Text_, Expected);    \
        }                                                           \
    } while (0)

static void Numbers(void) {
    PRINTS("0 -1 4294967295", "%d %d %u", 0, -1, -1);
    PRINTS("-2147483648 2147483647", "%d %i", MINLONG, MAXLONG);
    PRINTS("7b 7B 173", "%x %X %o", 123, 123, 123);
    PRINTS("0x7b 0X7B 0173 0", "%#x %#X %#o %#x", 123, 123, 123, 0);
    PRINTS("[   42][42   ][00042][+42][ 42]", "[%5d][%-5d][%05d][%+d][% d]", 42, 42, 42, 42, 42);
    PRINTS("[-0042][  042][042  ]", "[%05d][%5.3d][%-5.3d]", -42, 42, 42);
    PRINTS("[   42][42   ]", "[%*d][%*d]", 5, 42, -5, 42);
    PRINTS("[]", "[%.0d]", 0);
    PRINTS("000000D1", "%08X", 0xD1);
}

static void Widths(void) {
    /* l is 32 bits: what lies above does not count. */
    PRINTS("305419896 4294967295 -1", "%lu %lu %ld", 0x12345678, -1, -1);
    PRINTS("123456789abcdef0", "%I64x", 0x123456789ABCDEF0ULL);
    PRINTS("18446744073709551615 -1", "%llu %lld", ~0ULL, ~0ULL);
    PRINTS("18446744073709551615 ffffffffffffffff", "%zu %Ix", ~0ULL, ~0ULL);
    PRINTS("4294967295", "%I32u", -1);
    PRINTS("65535 -1 255 -1", "%hu %hd %hhu %hhd", -1, -1, -1, -1);
    PRINTS("-9223372036854775808", "%I64d", (LONG64)0x8000000000000000ULL);
    PRINTS("FFFFF8A000001000", "%p", (void *)0xFFFFF8A000001000ULL);
    PRINTS("0000000000000000", "%p", NULL);
    PRINTS("1777777777777777777777", "%llo", ~0ULL);
}

static void Text(void) {
    UNICODE_STRING Wide = RTL_CONSTANT_STRING(L"\\Device\\Secret");
    ANSI_STRING Narrow = {3, 4, "abcd"};
    UNICODE_STRING Empty = {0, 0, NULL};
    PRINTS("a bc % (null)", "%c %s %% %s", 'a', "bc", NULL);
    PRINTS("[   ab][ab   ][  a]", "[%5s][%-5s][%3.1s]", "ab", "ab", "ab");
    PRINTS("wide wide wide W narrow", "%S %ws %ls %C %hs", L"wide", L"wide", L"wide", L'W', "narrow");
    PRINTS("\\Device\\Secret abc (null) (null)", "%wZ %Z %wZ %wZ", &Wide, &Narrow, &Empty, NULL);
    PRINTS("[  \\Dev][ab ]", "[%6.4wZ][%-3.2Z]", &Wide, &Narrow);
    PRINTS("?", "%S", L"\x263A"); /* no such character in a byte */
    PRINTS("[          wide-string]", "[%21S]", L"wide-string");
}

static void Precision_stops_reading(void) {
    /* The address sanitizer watches the bytes behind. */
    const char NoEnd[3] = {'a', 'b', 'c'};
    const wchar_t WideNoEnd[2] = {L'x', L'y'};
    PRINTS("abc ab xy", "%.3s %.2s %.2S", NoEnd, NoEnd, WideNoEnd);
}

static void Unknown_conversions_are_shown(void) {
    PRINTS("%q %5f 1", "%q %5f %d", 1);
    PRINTS("50%", "50%");
    PRINTS("50%-0", "50%-0");
    PRINTS("%ll", "%ll");
}

static void Room(void) {
    char Buffer[8];
    KernelMemset(Buffer, 'x', sizeof(Buffer));
    CHECK(RtlFormat(Buffer, 4, "%s", "abcdef") == 6 && strcmp(Buffer, "abc") == 0 && Buffer[4] == 'x');
    CHECK(RtlFormat(Buffer, 1, "%d", 12345) == 5 && Buffer[0] == 0);
    Buffer[0] = 'x';
    CHECK(RtlFormat(Buffer, 0, "%d", 12345) == 5 && Buffer[0] == 'x');
    CHECK(RtlFormat(NULL, 0, "%2000d", 1) == 2000);
    CHECK(_snprintf(Buffer, 3, "abc") == 3 && Buffer[2] == 'c'); /* no terminator */
    CHECK(_snprintf(Buffer, 3, "abcd") == -1);
    CHECK(_snprintf(Buffer, 4, "abc") == 3 && Buffer[3] == 0);
    CHECK(sprintf_s(Buffer, 3, "abc") == -1 && Buffer[0] == 0);
    CHECK(sprintf(Buffer, "%u", 1234567) == 7 && strcmp(Buffer, "1234567") == 0);
}

static void Wide_formats(void) {
    wchar_t Buffer[16];
    CHECK(swprintf_s(Buffer, 16, L"%s-%S-%u", L"wide", "byte", 7) == 11 && wcscmp(Buffer, L"wide-byte-7") == 0);
    CHECK(swprintf_s(Buffer, 4, L"%u", 12345) == -1 && Buffer[0] == 0);
    CHECK(_snwprintf(Buffer, 16, L"%ws %hs %c", L"a", "b", L'c') == 5 && wcscmp(Buffer, L"a b c") == 0);
    CHECK(_snwprintf(Buffer, 2, L"abc") == -1);
}

static void Safe_strings(void) {
    wchar_t Wide[8];
    char Narrow[8];
    UNICODE_STRING String;
    size_t Length;
    CHECK(RtlStringCchPrintfW(Wide, 8, L"%u", 1234567) == STATUS_SUCCESS && wcscmp(Wide, L"1234567") == 0);
    CHECK(RtlStringCchPrintfW(Wide, 8, L"%u", 12345678) == STATUS_BUFFER_OVERFLOW && wcscmp(Wide, L"1234567") == 0);
    CHECK(RtlStringCchPrintfW(Wide, 0, L"") == STATUS_INVALID_PARAMETER);
    CHECK(RtlStringCbPrintfW(Wide, 8, L"%s", L"abcd") == STATUS_BUFFER_OVERFLOW && wcscmp(Wide, L"abc") == 0);
    CHECK(RtlStringCchPrintfA(Narrow, 8, "%s", "abcdefgh") == STATUS_BUFFER_OVERFLOW && strcmp(Narrow, "abcdefg") == 0);
    CHECK(RtlStringCchCopyA(Narrow, 8, "abc") == STATUS_SUCCESS);
    CHECK(RtlStringCchCatA(Narrow, 8, "defg") == STATUS_SUCCESS && strcmp(Narrow, "abcdefg") == 0);
    CHECK(RtlStringCchCatA(Narrow, 8, "h") == STATUS_BUFFER_OVERFLOW && strcmp(Narrow, "abcdefg") == 0);
    CHECK(RtlStringCchCopyW(Wide, 3, L"abc") == STATUS_BUFFER_OVERFLOW && wcscmp(Wide, L"ab") == 0);
    CHECK(RtlStringCchLengthA("abc", 3, &Length) == STATUS_INVALID_PARAMETER && Length == 0);
    CHECK(RtlStringCchLengthA("abc", 4, &Length) == STATUS_SUCCESS && Length == 3);
    CHECK(RtlUnicodeStringInit(&String, L"abc") == STATUS_SUCCESS && String.Length == 6 && String.MaximumLength == 8);
    UNICODE_STRING None = {0, 0, NULL};
    CHECK(RtlUnicodeStringPrintf(&None, L"%d", 5) == STATUS_BUFFER_OVERFLOW && None.Length == 0);
    CHECK(RtlUnicodeStringPrintf(&None, L"") == STATUS_SUCCESS);
    CHECK(RtlStringCbCopyUnicodeString(Wide, 8, &String) == STATUS_SUCCESS && wcscmp(Wide, L"abc") == 0);
    CHECK(RtlStringCchCopyUnicodeString(Wide, 3, &String) == STATUS_BUFFER_OVERFLOW && wcscmp(Wide, L"ab") == 0);
    CHECK(RtlUnicodeStringInit(&String, NULL) == STATUS_SUCCESS && String.Length == 0 && String.MaximumLength == 0);
}

/* Room 0, NULL, and what the flags leave behind a failure, in the order in which NT applies them. */
static void Safe_strings_at_their_edges(void) {
    const ULONG Null = STRSAFE_IGNORE_NULLS, Whole = STRSAFE_NO_TRUNCATION;
    char Text[8] = "xy", *End;
    size_t Left;
    CHECK(RtlStringCchCopyExA(Text, 0, "", NULL, NULL, 0) == STATUS_INVALID_PARAMETER);
    CHECK(RtlStringCchCopyExA(NULL, 0, NULL, NULL, NULL, Null) == STATUS_SUCCESS);
    CHECK(RtlStringCchCopyExA(NULL, 0, "a", NULL, NULL, Null) == STATUS_INVALID_PARAMETER);
    CHECK(RtlStringCchCopyExA(Text, 0, "a", NULL, NULL, Null) == STATUS_BUFFER_OVERFLOW && Text[0] == 'x');
    CHECK(RtlStringCchCopyExA(NULL, 1, "", NULL, NULL, Null) == STATUS_INVALID_PARAMETER);
    CHECK(RtlStringCchCatExA(NULL, 0, "a", NULL, NULL, Null) == STATUS_INVALID_PARAMETER);
    CHECK(RtlStringCchCatExA(NULL, 0, NULL, &End, &Left, Null) == STATUS_SUCCESS && End == NULL && Left == 0);
    CHECK(RtlStringCchPrintfExA(NULL, 0, NULL, NULL, Null, "") == STATUS_SUCCESS);
    CHECK(RtlStringCchPrintfExA(Text, 0, NULL, NULL, Null, "%d", 1) == STATUS_BUFFER_OVERFLOW && Text[0] == 'x');
    CHECK(RtlStringCchPrintfExA(Text, 8, &End, &Left, Null, NULL) == STATUS_SUCCESS && End == Text && Left == 8);
    CHECK(RtlStringCchCopyExA(Text, 3, "abc", &End, &Left, Whole) == STATUS_BUFFER_OVERFLOW && End == Text &&
          Left == 3);
    CHECK(Text[0] == 0);
    RtlStringCchCopyA(Text, 8, "xy");
    CHECK(RtlStringCchCatExA(Text, 4, "zz", &End, &Left, Whole) == STATUS_BUFFER_OVERFLOW && strcmp(Text, "xy") == 0);
    CHECK(End == Text + 2 && Left == 2);
    CHECK(RtlStringCchCatExA(Text, 4, "zz", &End, NULL, Whole | STRSAFE_NULL_ON_FAILURE) == STATUS_BUFFER_OVERFLOW);
    CHECK(Text[0] == 0 && End == Text);
    CHECK(RtlStringCchCopyExA(Text, 4, "abcd", &End, NULL, Whole | STRSAFE_FAILURE_BYTE('-')) ==
          STATUS_BUFFER_OVERFLOW);
    CHECK(strcmp(Text, "---") == 0 && End == Text + 3);
    CHECK(RtlStringCchCopyExA(Text, 8, "a", NULL, NULL, STRSAFE_FILL_BYTE('-')) == STATUS_SUCCESS && Text[7] == '-');
    CHECK(RtlStringCchCopyExA(Text, 8, "a", NULL, NULL, 0x2000) == STATUS_INVALID_PARAMETER);
    CHECK(RtlStringCchCopyNA(Text, 8, "abc", 0) == STATUS_SUCCESS && Text[0] == 0);
    CHECK(RtlStringCchCopyA(Text, (size_t)NTSTRSAFE_MAX_CCH + 1, "a") == STATUS_INVALID_PARAMETER);
}

int main(void) {
    Numbers();
    Widths();
    Text();
    Precision_stops_reading();
    Unknown_conversions_are_shown();
    Room();
    Wide_formats();
    Safe_strings();
    Safe_strings_at_their_edges();
    return CheckFailures != 0;
}

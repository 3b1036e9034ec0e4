/* string_library.c: the string calls that drivers import, each once, with the answers that Windows gives.
 *
 * expect: completed
 */
#include <ntddk.h>
#include <ntstrsafe.h>
#include <ntintsafe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static_assert(sizeof(INT) == 4 && sizeof(PINT) == 8, "INT");
static int Wrong;
#define CHECK(e) ((e) ? (void)0 : (void)(Wrong++, DbgPrint("line %d: %s\n", __LINE__, #e)))
DECLARE_CONST_UNICODE_STRING(Constant, L"Constant");

static void Counted(void) {
    DECLARE_UNICODE_STRING_SIZE(Text, 32);
    UNICODE_STRING Wide, Copy;
    ANSI_STRING Narrow;
    ULONG Number;
    CHECK(NT_SUCCESS(RtlAppendUnicodeToString(&Text, L"C:\\")) && Text.Length == 6);
    CHECK(NT_SUCCESS(RtlAppendUnicodeStringToString(&Text, &Constant)));
    CHECK(RtlAppendUnicodeToString(&Text, L"0123456789012345678901234567890") == STATUS_BUFFER_TOO_SMALL);
    RtlInitUnicodeString(&Wide, L"c:\\");
    CHECK(RtlPrefixUnicodeString(&Wide, &Text, TRUE) && !RtlPrefixUnicodeString(&Wide, &Text, FALSE));
    CHECK(NT_SUCCESS(RtlUnicodeStringToAnsiString(&Narrow, &Text, TRUE)) && strcmp(Narrow.Buffer, "C:\\Constant") == 0);
    CHECK(NT_SUCCESS(RtlAnsiStringToUnicodeString(&Copy, &Narrow, TRUE)) && RtlEqualUnicodeString(&Copy, &Text, FALSE));
    RtlFreeUnicodeString(&Copy);
    RtlFreeAnsiString(&Narrow);
    CHECK(NT_SUCCESS(RtlUpcaseUnicodeString(&Copy, &Text, TRUE)) && Copy.Buffer[3] == 'C' && Copy.Buffer[4] == 'O');
    CHECK(Copy.Length == Text.Length && Copy.MaximumLength == Text.Length); /* no room for a terminator */
    RtlFreeUnicodeString(&Copy);
    CHECK(NT_SUCCESS(RtlIntegerToUnicodeString(48879, 16, &Text)) && Text.Length == 8);
    CHECK(NT_SUCCESS(RtlUnicodeStringToInteger(&Text, 16, &Number)) && Number == 48879);
    CHECK(NT_SUCCESS(RtlUnicodeStringPrintf(&Text, L"%ws-%d", L"a", 5)) && Text.Length == 6);
    CHECK(RtlUpcaseUnicodeChar(0xE4) == 0xC4 && RtlCompareMemory("abcd", "abxd", 4) == 2);
}

/* What conversions need and leave, to the byte. */
static void Room(void) {
    WCHAR Buffer[5];
    CHAR Bytes[5] = "zzzz";
    UNICODE_STRING Text, Copy, Own;
    ANSI_STRING Narrow;
    RtlInitUnicodeString(&Text, L"aB1");
    RtlInitEmptyUnicodeString(&Own, Buffer, 3 * sizeof(WCHAR));
    RtlFillMemory(Buffer, sizeof(Buffer), 0x55);
    CHECK(NT_SUCCESS(RtlDowncaseUnicodeString(&Own, &Text, FALSE)) && Buffer[1] == 'b' && Buffer[3] == 0x5555);
    Own.MaximumLength = sizeof(Buffer);
    CHECK(NT_SUCCESS(RtlUpcaseUnicodeString(&Own, &Text, FALSE)) && Buffer[0] == 'A' && Buffer[3] == 0x5555);
    Own.MaximumLength = 4;
    CHECK(RtlUpcaseUnicodeString(&Own, &Text, FALSE) == STATUS_BUFFER_OVERFLOW);
    RtlInitEmptyUnicodeString(&Text, NULL, 0);
    CHECK(NT_SUCCESS(RtlUpcaseUnicodeString(&Copy, &Text, TRUE)) && Copy.Buffer != NULL && Copy.MaximumLength == 0);
    RtlFreeUnicodeString(&Copy);
    RtlInitAnsiString(&Narrow, "abc");
    Own.MaximumLength = 3 * sizeof(WCHAR);
    CHECK(RtlAnsiStringToUnicodeString(&Own, &Narrow, FALSE) == STATUS_BUFFER_OVERFLOW);
    Own.MaximumLength = 4 * sizeof(WCHAR);
    CHECK(NT_SUCCESS(RtlAnsiStringToUnicodeString(&Own, &Narrow, FALSE)) && Own.Length == 6 && Buffer[3] == 0);
    RtlInitEmptyAnsiString(&Narrow, Bytes, 3);
    CHECK(RtlUnicodeStringToAnsiString(&Narrow, &Own, FALSE) == STATUS_BUFFER_OVERFLOW && Narrow.Length == 2);
    CHECK(strcmp(Bytes, "ab") == 0 && Bytes[3] == 'z');
    Narrow.MaximumLength = 0;
    CHECK(RtlUnicodeStringToAnsiString(&Narrow, &Own, FALSE) == STATUS_BUFFER_OVERFLOW && Narrow.Length == 3);
    Own.Length = 3;
    CHECK(RtlDuplicateUnicodeString(0, &Own, &Copy) == STATUS_INVALID_PARAMETER);
    Own.Length = 10;
    CHECK(RtlDuplicateUnicodeString(0, &Own, &Copy) == STATUS_INVALID_PARAMETER);
    Own.Length = 6;
    CHECK(NT_SUCCESS(RtlDuplicateUnicodeString(0, &Own, &Copy)) && Copy.MaximumLength == 6);
    RtlFreeUnicodeString(&Copy);
    CHECK(NT_SUCCESS(RtlDuplicateUnicodeString(1, &Own, &Copy)) && Copy.MaximumLength == 8 && Copy.Buffer[3] == 0);
    RtlFreeUnicodeString(&Copy);
    CHECK(RtlDuplicateUnicodeString(2, &Own, &Copy) == STATUS_INVALID_PARAMETER);
    CHECK(NT_SUCCESS(RtlDuplicateUnicodeString(1, &Text, &Copy)) && Copy.Buffer == NULL);
    CHECK(NT_SUCCESS(RtlDuplicateUnicodeString(3, &Text, &Copy)) && Copy.Buffer[0] == 0 && Copy.MaximumLength == 2);
    RtlFreeUnicodeString(&Copy);
}

/* "abcde" in a string of Room bytes, whose buffer holds "zzzzzz". */
static NTSTATUS Flagged(PUNICODE_STRING Text, PWCHAR Buffer, USHORT Room, ULONG Flags) {
    UNICODE_STRING Source = RTL_CONSTANT_STRING(L"abcde"), Rest;
    for (ULONG i = 0; i < 6; i++) {
        Buffer[i] = L'z';
    }
    RtlInitEmptyUnicodeString(Text, Buffer, Room);
    Text->Length = sizeof(WCHAR);
    NTSTATUS Status = RtlUnicodeStringCopyEx(Text, &Source, &Rest, Flags);
    CHECK(Status == STATUS_INVALID_PARAMETER ||
          (Rest.Length == 0 && Rest.Buffer == Buffer + Text->Length / 2 && Rest.MaximumLength == Room - Text->Length));
    return Status;
}

/* What the flags of the calls with Ex do to a counted string when all fits, and when not. */
static void CountedFlags(void) {
    WCHAR Buffer[6];
    UNICODE_STRING Text, Rest;
    CHECK(Flagged(&Text, Buffer, 12, STRSAFE_FILL_BEHIND | 'y') == STATUS_SUCCESS && Text.Length == 10 &&
          Buffer[4] == 'e' && Buffer[5] == 0x7979);
    CHECK(Flagged(&Text, Buffer, 12, 'y') == STATUS_SUCCESS && Buffer[5] == 'z');
    CHECK(Flagged(&Text, Buffer, 6, 0) == STATUS_BUFFER_OVERFLOW && Text.Length == 6 && Buffer[2] == 'c' && Buffer[3] == 'z');
    CHECK(Flagged(&Text, Buffer, 6, STRSAFE_NO_TRUNCATION) == STATUS_BUFFER_OVERFLOW && Text.Length == 0 && Buffer[0] == 'z');
    CHECK(Flagged(&Text, Buffer, 6, STRSAFE_FILL_ON_FAILURE | 'y') == STATUS_BUFFER_OVERFLOW && Text.Length == 6 &&
          Buffer[0] == 0x7979 && Buffer[3] == 'z');
    CHECK(Flagged(&Text, Buffer, 6, STRSAFE_FILL_ON_FAILURE) == STATUS_BUFFER_OVERFLOW && Text.Length == 0 && Buffer[0] == 0);
    CHECK(Flagged(&Text, Buffer, 6, STRSAFE_ZERO_LENGTH_ON_FAILURE) == STATUS_BUFFER_OVERFLOW && Text.Length == 0 &&
          Buffer[0] == 'a');
    CHECK(Flagged(&Text, Buffer, 6, 0x2000) == STATUS_INVALID_PARAMETER && Flagged(&Text, Buffer, 6, STRSAFE_IGNORE_NULLS) ==
          STATUS_BUFFER_OVERFLOW);
    Flagged(&Text, Buffer, 12, 0);
    CHECK(RtlUnicodeStringCatStringEx(&Text, L"fg", &Rest, STRSAFE_NO_TRUNCATION) == STATUS_BUFFER_OVERFLOW &&
          Text.Length == 10 && Rest.MaximumLength == 2);
    CHECK(NT_SUCCESS(RtlUnicodeStringCchCatStringN(&Text, L"fg", 1)) && Text.Length == 12 && Buffer[5] == 'f');
    CHECK(NT_SUCCESS(RtlUnicodeStringCbCopyN(&Text, &Constant, 5)) && Text.Length == 4 && Buffer[1] == 'o');
    CHECK(RtlUnicodeStringCopy(&Text, NULL) == STATUS_INVALID_PARAMETER && Text.Length == 4);
    CHECK(RtlUnicodeStringCatEx(&Text, NULL, NULL, STRSAFE_IGNORE_NULLS) == STATUS_SUCCESS && Text.Length == 4);
    CHECK(RtlUnicodeStringCopyEx(NULL, NULL, NULL, STRSAFE_IGNORE_NULLS) == STATUS_SUCCESS);
    CHECK(RtlUnicodeStringCopyEx(NULL, &Constant, NULL, STRSAFE_IGNORE_NULLS) == STATUS_INVALID_PARAMETER);
    CHECK(NT_SUCCESS(RtlUnicodeStringPrintfEx(&Text, &Rest, STRSAFE_FILL_BEHIND, L"%d", 12)) && Text.Length == 4 &&
          Rest.MaximumLength == 8 && Buffer[2] == 0 && Buffer[5] == 0);
    CHECK(RtlUnicodeStringPrintfEx(&Text, NULL, STRSAFE_ZERO_LENGTH_ON_FAILURE, L"%d", 1234567) == STATUS_BUFFER_OVERFLOW &&
          Text.Length == 0);
    RtlInitEmptyUnicodeString(&Text, NULL, 0);
    CHECK(RtlUnicodeStringCopy(&Text, &Constant) == STATUS_BUFFER_OVERFLOW && RtlUnicodeStringPrintf(&Text, L"x") ==
          STATUS_BUFFER_OVERFLOW && NT_SUCCESS(RtlUnicodeStringPrintf(&Text, L"")));
}

static ULONG Parsed(PCWSTR Source, ULONG Base) {
    UNICODE_STRING Text;
    ULONG Value = 77;
    RtlInitUnicodeString(&Text, Source);
    CHECK(RtlUnicodeStringToInteger(&Text, Base, &Value) == STATUS_SUCCESS);
    return Value;
}

/* Numbers as text, with what is no number, and without room. */
static void Integers(void) {
    WCHAR Buffer[9];
    UNICODE_STRING Text;
    ULONG Value = 77;
    CHECK(Parsed(L"0x1F", 0) == 31 && Parsed(L"0x1F", 16) == 0 && Parsed(L"1f", 16) == 31 && Parsed(L"0o17", 0) == 15);
    CHECK(Parsed(L"0b101", 0) == 5 && Parsed(L"017", 0) == 17 && Parsed(L"0X1F", 0) == 0 && Parsed(L"12", 2) == 1);
    CHECK(Parsed(L" \t+7", 10) == 7 && Parsed(L"-1", 0) == MAXULONG && Parsed(L"- 1", 0) == 0 && Parsed(L"", 0) == 0);
    CHECK(Parsed(L"4294967297", 0) == 1 && Parsed(L"9x", 10) == 9 && Parsed(L"-0x10", 0) == 0xFFFFFFF0 && Parsed(L"8", 8) == 0);
    RtlInitUnicodeString(&Text, L"5");
    CHECK(RtlUnicodeStringToInteger(&Text, 10, NULL) == STATUS_ACCESS_VIOLATION);
    CHECK(RtlUnicodeStringToInteger(&Text, 7, &Value) == STATUS_INVALID_PARAMETER && Value == 77);
    CHECK(RtlUnicodeStringToInteger(&Text, 7, NULL) == STATUS_INVALID_PARAMETER);
    RtlInitEmptyUnicodeString(&Text, Buffer, sizeof(Buffer));
    CHECK(NT_SUCCESS(RtlIntegerToUnicodeString(MAXULONG, 16, &Text)) && Text.Length == 16 && wcscmp(Buffer, L"FFFFFFFF") == 0);
    CHECK(NT_SUCCESS(RtlIntegerToUnicodeString(0, 0, &Text)) && Text.Length == 2 && Buffer[0] == '0');
    CHECK(RtlIntegerToUnicodeString(1, 5, &Text) == STATUS_INVALID_PARAMETER);
    CHECK(RtlIntegerToUnicodeString(MAXULONG, 8, &Text) == STATUS_BUFFER_OVERFLOW);
    Text.MaximumLength = 16;
    CHECK(RtlIntegerToUnicodeString(MAXULONG, 16, &Text) == STATUS_BUFFER_OVERFLOW);
}

/* Of a length that the compiler knows, and of one that it does not. */
static void Overlapping(INT Distance) {
    CHAR Text[48] = "0123456789abcdefghijklmnopqrstuvwxyz";
    RtlCopyMemory(Text + 3, Text, 33);
    CHECK(strcmp(Text, "0120123456789abcdefghijklmnopqrstuvw") == 0);
    RtlCopyMemory(Text + Distance, Text, 36 - Distance);
    CHECK(strcmp(Text, "012010120123456789abcdefghijklmnopqr") == 0 || Distance != 5);
    RtlCopyMemory(Text, Text + Distance, 37 - Distance);
    CHECK(strcmp(Text, "0120123456789abcdefghijklmnopqr") == 0);
}

static void Terminated(void) {
    WCHAR Wide[16];
    CHAR Narrow[16];
    size_t Length, Left;
    CHECK(wcscpy_s(Wide, 16, L"one") == 0 && wcscat_s(Wide, 16, L"two") == 0 && _wcsicmp(Wide, L"ONETWO") == 0);
    CHECK(wcscat_s(Wide, 8, L"too long") == ERANGE && Wide[0] == 0);
    CHECK(_snwprintf_s(Wide, 16, _TRUNCATE, L"%s", L"much too long for it") == -1 && wcslen(Wide) == 15);
    CHECK(strcpy_s(Narrow, 16, "one") == 0 && strcat_s(Narrow, sizeof(Narrow), "two") == 0);
    CHECK(_strnicmp(Narrow, "ONEx", 3) == 0 && strstr(Narrow, "tw") == Narrow + 3 && strlen(Narrow) == 6);
    CHECK(sprintf_s(Narrow, 16, "%d %ws", 3, L"x") == 3 && atoi(" -12x") == -12 && wcsstr(L"abc", L"bc") != NULL);
    CHECK(NT_SUCCESS(RtlStringCbCopyW(Wide, sizeof(Wide), L"abc")) && NT_SUCCESS(RtlStringCchCatW(Wide, 16, L"def")));
    CHECK(NT_SUCCESS(RtlStringCchLengthW(Wide, 16, &Length)) && Length == 6);
    CHECK(NT_SUCCESS(RtlStringCchCopyExA(Narrow, 16, "abc", NULL, &Left, 0)) && Left == 13);
    CHECK(RtlStringCbPrintfA(Narrow, 4, "%s", "abcdef") == STATUS_BUFFER_OVERFLOW && strcmp(Narrow, "abc") == 0);
    CHECK(towupper(L'x') == L'X' && isdigit('7') && tolower('Q') == 'q');
}

static int Compare(const void *A, const void *B) {
    return *(const int *)A - *(const int *)B;
}

static void Numbers(void) {
    int Values[] = {5, 3, 9, 1}, Key = 9;
    TIME_FIELDS Fields;
    LARGE_INTEGER Time;
    ULONG Words[4], Seed = 7, Sum;
    RTL_BITMAP Map;
    qsort(Values, 4, sizeof(int), Compare);
    CHECK(Values[0] == 1 && bsearch(&Key, Values, 4, sizeof(int), Compare) == &Values[3]);
    Time.QuadPart = 132223104000000000; /* 2020-01-01 */
    RtlTimeToTimeFields(&Time, &Fields);
    CHECK(Fields.Year == 2020 && Fields.Month == 1 && Fields.Day == 1 && Fields.Hour == 0 && Fields.Weekday == 3);
    RtlInitializeBitMap(&Map, Words, 100);
    RtlClearAllBits(&Map);
    RtlSetBits(&Map, 10, 40);
    CHECK(RtlNumberOfSetBits(&Map) == 40 && RtlFindClearBitsAndSet(&Map, 20, 8) == 50 && RtlAreBitsSet(&Map, 10, 60));
    CHECK(RtlRandomEx(&Seed) < MAXLONG && RtlULongAdd(MAXULONG, 1, &Sum) == STATUS_INTEGER_OVERFLOW);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    RTL_OSVERSIONINFOW Version = {.dwOSVersionInfoSize = sizeof(Version)};
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    Counted();
    Room();
    Overlapping(5);
    CountedFlags();
    Integers();
    Terminated();
    Numbers();
    CHECK(NT_SUCCESS(RtlGetVersion(&Version)) && Version.dwMajorVersion == 10);
    DbgPrintEx(DPFLTR_IHVDRIVER_ID, DPFLTR_INFO_LEVEL, "%Z %I64x %llu %hs %c%C\n", NULL, 1ULL << 40, 5ULL, "h", 'a',
               L'b');
    return Wrong == 0 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

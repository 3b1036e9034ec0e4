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
    RtlFreeUnicodeString(&Copy);
    CHECK(NT_SUCCESS(RtlIntegerToUnicodeString(48879, 16, &Text)) && Text.Length == 8);
    CHECK(NT_SUCCESS(RtlUnicodeStringToInteger(&Text, 16, &Number)) && Number == 48879);
    CHECK(NT_SUCCESS(RtlUnicodeStringPrintf(&Text, L"%ws-%d", L"a", 5)) && Text.Length == 6);
    CHECK(RtlUpcaseUnicodeChar(0xE4) == 0xC4 && RtlCompareMemory("abcd", "abxd", 4) == 2);
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
    Terminated();
    Numbers();
    CHECK(NT_SUCCESS(RtlGetVersion(&Version)) && Version.dwMajorVersion == 10);
    DbgPrintEx(DPFLTR_IHVDRIVER_ID, DPFLTR_INFO_LEVEL, "%Z %I64x %llu %hs %c%C\n", NULL, 1ULL << 40, 5ULL, "h", 'a',
               L'b');
    return Wrong == 0 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

/* library.c: the C run-time library and Rtl calls of drivers, against answers that are known, at the edges of their room. */
#include <ntddk.h>
#include <ntstrsafe.h>
#include <ntintsafe.h>

int CheckFailures;

static int CompareInts(const void *A, const void *B) {
    return (*(const int *)A > *(const int *)B) - (*(const int *)A < *(const int *)B);
}

static void Sorting_orders_every_small_array(void) {
    ULONG Seed = 1;
    for (size_t Count = 0; Count < 40; Count++) {
        int Values[40];
        for (size_t i = 0; i < Count; i++) {
            Values[i] = (int)(RtlRandomEx(&Seed) % 20);
        }
        qsort(Values, Count, sizeof(int), CompareInts);
        for (size_t i = 1; i < Count; i++) {
            CHECK(Values[i - 1] <= Values[i]);
        }
        for (int Key = 0; Key < 20; Key++) {
            int *Found = bsearch(&Key, Values, Count, sizeof(int), CompareInts);
            BOOLEAN IsThere = FALSE;
            for (size_t i = 0; i < Count; i++) {
                IsThere |= Values[i] == Key;
            }
            CHECK(IsThere == (Found != NULL) && (Found == NULL || *Found == Key));
        }
    }
}

static void Times_go_there_and_back(void) {
    LARGE_INTEGER Time, Back;
    TIME_FIELDS Fields;
    for (LONGLONG Day = 0; Day < 500 * 366LL; Day += 13) {
        Time.QuadPart = (Day * 86400000LL + 12345678) * 10000;
        RtlTimeToTimeFields(&Time, &Fields);
        CHECK(RtlTimeFieldsToTime(&Fields, &Back) && Back.QuadPart == Time.QuadPart);
        CHECK(Fields.Weekday == (Day + 1) % 7);
    }
    Fields = (TIME_FIELDS){2023, 2, 29, 0, 0, 0, 0, 0};
    CHECK(!RtlTimeFieldsToTime(&Fields, &Back));
    Fields.Year = 2024;
    CHECK(RtlTimeFieldsToTime(&Fields, &Back));
}

static void Bitmaps_find_what_is_there(void) {
    ULONG Words[3], Seed = 5;
    RTL_BITMAP Map;
    RtlInitializeBitMap(&Map, Words, 77);
    for (int Round = 0; Round < 300; Round++) {
        RtlClearAllBits(&Map);
        for (int n = 0; n < 4; n++) {
            RtlSetBits(&Map, RtlRandomEx(&Seed) % 77, RtlRandomEx(&Seed) % 30);
        }
        ULONG Set = 0, Want = 1 + RtlRandomEx(&Seed) % 20, Run = 0, Longest = 0;
        for (ULONG i = 0; i < 77; i++) {
            Set += RtlTestBit(&Map, i);
            Run = RtlTestBit(&Map, i) ? 0 : Run + 1;
            Longest = Run > Longest ? Run : Longest;
        }
        CHECK(RtlNumberOfSetBits(&Map) == Set && RtlNumberOfClearBits(&Map) == 77 - Set);
        ULONG Found = RtlFindClearBits(&Map, Want, RtlRandomEx(&Seed) % 80);
        CHECK((Found != 0xFFFFFFFF) == (Longest >= Want));
        CHECK(Found == 0xFFFFFFFF || RtlAreBitsClear(&Map, Found, Want));
    }
}

static void Cutting_copies_end_and_say_so(void) {
    WCHAR Wide[4];
    CHAR Narrow[4];
    CHECK(RtlStringCchCopyW(Wide, 4, L"abc") == STATUS_SUCCESS && RtlStringCchCopyW(Wide, 4, L"abcd") < 0);
    CHECK(Wide[2] == 'c' && Wide[3] == 0);
    CHECK(RtlStringCchCatW(Wide, 4, L"d") == STATUS_BUFFER_OVERFLOW &&
          RtlStringCchCatW(Wide, 4, L"") == STATUS_SUCCESS);
    CHECK(RtlStringCchCopyW(Wide, 0, L"") == STATUS_INVALID_PARAMETER);
    CHECK(strcpy_s(Narrow, 4, "abcd") == ERANGE && Narrow[0] == 0 && strcpy_s(Narrow, 4, "abc") == 0);
    CHECK(strncpy_s(Narrow, 4, "abcdef", _TRUNCATE) == 80 && strcmp(Narrow, "abc") == 0);
    CHECK(wcsncpy_s(Wide, 4, L"xyzw", 2) == 0 && Wide[1] == 'y' && Wide[2] == 0);
    CHECK(_snprintf_s(Narrow, 4, _TRUNCATE, "%d", 12345) == -1 && strcmp(Narrow, "123") == 0);
    CHECK(sprintf_s(Narrow, 4, "%d", 12345) == -1 && Narrow[0] == 0);
}

static void Numbers_are_read_as_32_bits(void) {
    char *End;
    CHECK(atoi("  -42x") == -42 && atoi("99999999999") == MAXLONG && strtoul("0xFFz", &End, 0) == 255 && *End == 'z');
    CHECK(strtol("-99999999999", NULL, 10) == MINLONG && _wtoi(L"+7") == 7 && strtoul("077", NULL, 0) == 63);
    UNICODE_STRING Text = RTL_CONSTANT_STRING(L" -0x1F!");
    ULONG Value;
    CHECK(RtlUnicodeStringToInteger(&Text, 0, &Value) == STATUS_SUCCESS && Value == (ULONG)-31);
    CHECK(RtlUnicodeStringToInteger(&Text, 7, &Value) == STATUS_INVALID_PARAMETER);
    WCHAR Room[5] = {1, 1, 1, 1, 1};
    UNICODE_STRING Small = {0, 4 * sizeof(WCHAR), Room};
    CHECK(RtlIntegerToUnicodeString(999, 10, &Small) == STATUS_SUCCESS && Small.Length == 6 && Room[3] == 0);
    Room[0] = 1; /* no room for the terminator: nothing is written but the length that it would have */
    CHECK(RtlIntegerToUnicodeString(1000, 10, &Small) == STATUS_BUFFER_OVERFLOW && Small.Length == 8 && Room[0] == 1);
    CHECK(RtlInt64ToUnicodeString(0xFFFFF, 16, &Small) == STATUS_BUFFER_OVERFLOW && Small.Length == 10);
    CHECK(RtlInt64ToUnicodeString(5, 0, &Small) == STATUS_SUCCESS && Room[0] == '5' && Room[1] == 0);
    CHECK(RtlInt64ToUnicodeString(5, 3, &Small) == STATUS_INVALID_PARAMETER);
}

static void Case_goes_there_and_back(void) {
    for (ULONG Character = 0; Character < 0x10000; Character++) {
        WCHAR Upper = RtlUpcaseUnicodeChar((WCHAR)Character);
        CHECK(RtlUpcaseUnicodeChar(Upper) == Upper);
        CHECK(Upper == (WCHAR)Character || RtlDowncaseUnicodeChar(Upper) == (WCHAR)Character);
    }
    CHECK(RtlUpcaseUnicodeChar(0xDF) == 0xDF && RtlUpcaseUnicodeChar(0xFF) == 0x178 &&
          RtlUpcaseUnicodeChar(0x451) == 0x401);
}

static void Strings_append_and_compare(void) {
    WCHAR Room[6];
    UNICODE_STRING Text = {0, sizeof(Room), Room}, Prefix;
    GUID Guid;
    CHECK(RtlAppendUnicodeToString(&Text, L"abc") == STATUS_SUCCESS && Room[3] == 0);
    CHECK(RtlAppendUnicodeToString(&Text, L"defg") == STATUS_BUFFER_TOO_SMALL && Text.Length == 6);
    CHECK(RtlAppendUnicodeToString(&Text, L"def") == STATUS_SUCCESS && Text.Length == 12);
    RtlInitUnicodeString(&Prefix, L"ABC");
    CHECK(RtlPrefixUnicodeString(&Prefix, &Text, TRUE) && !RtlPrefixUnicodeString(&Prefix, &Text, FALSE));
    UNICODE_STRING Braces = RTL_CONSTANT_STRING(L"{00112233-4455-6677-8899-aabbccddeeff}");
    CHECK(RtlGUIDFromString(&Braces, &Guid) == STATUS_SUCCESS && Guid.Data1 == 0x00112233 && Guid.Data4[7] == 0xFF);
    CHECK(RtlCompareMemory("abcd", "abXd", 4) == 2 && _wcsicmp(L"\x451", L"\x401") == 0);
    USHORT Sum;
    CHECK(RtlUShortAdd(0xFFFF, 1, &Sum) == STATUS_INTEGER_OVERFLOW && RtlUShortAdd(1, 2, &Sum) == 0 && Sum == 3);
}

int main(void) {
    Sorting_orders_every_small_array();
    Times_go_there_and_back();
    Bitmaps_find_what_is_there();
    Cutting_copies_end_and_say_so();
    Numbers_are_read_as_32_bits();
    Case_goes_there_and_back();
    Strings_append_and_compare();
    return CheckFailures != 0;
}

/* strings.c: memory and string functions against loops that are too simple to be wrong, over all small cases. */
#include <ntddk.h>

int CheckFailures;

void *malloc(size_t Bytes);
void free(void *Memory);

#define LONGEST 200

static void Memcpy_copies_exactly(void) {
    for (size_t Length = 0; Length <= LONGEST; Length++) {
        /* Exact heap blocks: the address sanitizer sees a byte too many. */
        unsigned char *From = malloc(Length + 1), *To = malloc(Length + 1);
        for (size_t i = 0; i < Length; i++) {
            From[i + 1] = (unsigned char)(i * 7 + 1);
        }
        CHECK(memcpy(To + 1, From + 1, Length) == To + 1);
        for (size_t i = 0; i < Length; i++) {
            CHECK(To[i + 1] == (unsigned char)(i * 7 + 1));
        }
        CHECK(memcmp(To + 1, From + 1, Length) == 0);
        free(From);
        free(To);
    }
}

static void Memset_fills_exactly(void) {
    for (size_t Length = 0; Length <= LONGEST; Length++) {
        unsigned char *To = malloc(Length + 2);
        To[0] = To[Length + 1] = 0x55;
        memset(To + 1, 0x1A5, Length);
        CHECK(To[0] == 0x55 && To[Length + 1] == 0x55);
        for (size_t i = 0; i < Length; i++) {
            CHECK(To[i + 1] == 0xA5);
        }
        free(To);
    }
}

static void Memmove_moves_both_ways(void) {
    unsigned char Buffer[2 * LONGEST + 80];
    for (size_t Length = 0; Length <= LONGEST; Length += 3) {
        for (int Distance = -70; Distance <= 70; Distance++) {
            for (size_t i = 0; i < sizeof(Buffer); i++) {
                Buffer[i] = (unsigned char)(i * 13 + i / 251);
            }
            void *(*Move)(void *, const void *, size_t) = Length % 2 ? memmove : memcpy;
            Move(Buffer + 80 + Distance, Buffer + 80, Length);
            for (size_t i = 0; i < Length; i++) {
                size_t At = 80 + i;
                CHECK(Buffer[At + (size_t)Distance] == (unsigned char)(At * 13 + At / 251));
            }
        }
    }
}

static void Memcmp_orders_by_first_difference(void) {
    unsigned char A[40], B[40];
    for (size_t At = 0; At < sizeof(A); At++) {
        memset(A, 9, sizeof(A));
        memset(B, 9, sizeof(B));
        A[At] = 0x80;
        CHECK(memcmp(A, B, sizeof(A)) > 0 && memcmp(B, A, sizeof(A)) < 0 && memcmp(A, B, At) == 0);
    }
}

static void Byte_strings(void) {
    const char *Text = "abcabc";
    CHECK(strlen("") == 0 && strlen("abc") == 3 && strnlen("abc", 2) == 2 && strnlen("abc", 9) == 3);
    CHECK(strcmp("a", "b") < 0 && strcmp("b", "a") > 0 && strcmp("", "") == 0 && strcmp("a", "aa") < 0);
    CHECK(strcmp("\x80", "a") > 0);
    CHECK(strncmp("abc", "abd", 2) == 0 && strncmp("abc", "abd", 3) < 0 && strncmp("ab", "ab\0c", 4) == 0);
    CHECK(_stricmp("System", "SYSTEM") == 0 && _stricmp("a", "B") < 0 && _stricmp("[", "{") != 0);
    CHECK(strchr(Text, 'b') == Text + 1 && strchr(Text, 'z') == NULL && strchr(Text, 0) == Text + 6);
    CHECK(strrchr(Text, 'b') == Text + 4 && strrchr(Text, 'z') == NULL);
    CHECK(strstr(Text, "cab") == Text + 2 && strstr(Text, "") == Text && strstr(Text, "abcabca") == NULL);
}

static void Wide_strings(void) {
    const wchar_t *Text = L"C:\\Temp\\x";
    wchar_t Buffer[4];
    CHECK(sizeof(wchar_t) == 2 && wcslen(Text) == 9 && wcsrchr(Text, L'\\') == Text + 7 &&
          wcschr(Text, L'\\') == Text + 2);
    CHECK(wcscmp(L"a", L"b") < 0 && wcscmp(L"a", L"a") == 0);
    CHECK(wcscpy_s(Buffer, 4, L"abc") == 0 && wcscmp(Buffer, L"abc") == 0);
    CHECK(wcscpy_s(Buffer, 4, L"abcd") == 34 && Buffer[0] == 0);
    CHECK(wcscpy_s(Buffer, 0, L"a") == 22 && wcscpy_s(NULL, 4, L"a") == 22 && wcscpy_s(Buffer, 4, NULL) == 22);
}

static void Counted_strings(void) {
    WCHAR Room[4] = {1, 1, 1, 1};
    UNICODE_STRING A, B, Target = {0, 6, Room};
    RtlInitUnicodeString(&A, L"Secret");
    CHECK(A.Length == 12 && A.MaximumLength == 14);
    RtlInitUnicodeString(&B, NULL);
    CHECK(B.Length == 0 && B.MaximumLength == 0 && B.Buffer == NULL);
    RtlInitUnicodeString(&B, L"SECRET");
    CHECK(!RtlEqualUnicodeString(&A, &B, FALSE) && RtlEqualUnicodeString(&A, &B, TRUE));
    CHECK(RtlCompareUnicodeString(&A, &B, FALSE) > 0 && RtlCompareUnicodeString(&A, &B, TRUE) == 0);
    RtlCopyUnicodeString(&Target, &A); /* cut, and no room for a terminator */
    CHECK(Target.Length == 6 && Room[2] == 'c' && Room[3] == 1);
    B.Length = 4;
    RtlCopyUnicodeString(&Target, &B);
    CHECK(Target.Length == 4 && Room[1] == 'E' && Room[2] == 0);
    RtlCopyUnicodeString(&Target, NULL);
    CHECK(Target.Length == 0 && Room[0] == 'S'); /* the length alone */
    Target.Length = 2;
    A.Length = 0;
    CHECK(RtlAppendUnicodeStringToString(&Target, &A) == STATUS_SUCCESS && Target.Length == 2 && Room[1] == 'E');
    CHECK(RtlAppendUnicodeToString(&Target, L"") == STATUS_SUCCESS && Target.Length == 2 && Room[1] == 0);
    CHECK(RtlCompareUnicodeStrings(L"abc", 3, L"ABD", 2, TRUE) > 0);
    CHECK(RtlCompareUnicodeStrings(L"abc", 2, L"ABD", 2, TRUE) == 0);
    CHECK(RtlCompareUnicodeStrings(L"abc", 2, L"ABD", 2, FALSE) > 0);
    CHECK(RtlCompareUnicodeStrings(L"", 0, L"A", 1, TRUE) < 0);
    RtlInitEmptyUnicodeString(&A, Room, sizeof(Room));
    CHECK(A.Length == 0 && A.MaximumLength == 8 && A.Buffer == Room && RtlPrefixUnicodeString(&A, &B, FALSE));
}

static void A_string_that_is_too_long_is_not_touched(void) {
    wchar_t *Long = malloc(0x8000 * sizeof(wchar_t));
    UNICODE_STRING String = {2, 4, Long};
    for (int i = 0; i < 0x7FFF; i++) {
        Long[i] = 'x';
    }
    Long[0x7FFF] = 0;
    CHECK(RtlInitUnicodeStringEx(&String, Long) == STATUS_NAME_TOO_LONG && String.Length == 2 && String.Buffer == Long);
    CHECK(RtlInitUnicodeStringEx(&String, Long + 1) == STATUS_SUCCESS && String.Length == 0xFFFC);
    free(Long);
}

int main(void) {
    Memcpy_copies_exactly();
    Memset_fills_exactly();
    Memmove_moves_both_ways();
    Memcmp_orders_by_first_difference();
    Byte_strings();
    Wide_strings();
    Counted_strings();
    A_string_that_is_too_long_is_not_touched();
    return CheckFailures != 0;
}

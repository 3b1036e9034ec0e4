/* number.c: character classes, and numbers to and from text, as in the C run-time library. ASCII only. Any IRQL. */
#include <ntddk.h>

int isdigit(int Character) {
    return Character >= '0' && Character <= '9';
}

int isupper(int Character) {
    return Character >= 'A' && Character <= 'Z';
}

int islower(int Character) {
    return Character >= 'a' && Character <= 'z';
}

int isalpha(int Character) {
    return isupper(Character) || islower(Character);
}

int isalnum(int Character) {
    return isalpha(Character) || isdigit(Character);
}

int isxdigit(int Character) {
    return isdigit(Character) || (Character >= 'A' && Character <= 'F') || (Character >= 'a' && Character <= 'f');
}

int isspace(int Character) {
    return Character == ' ' || (Character >= '\t' && Character <= '\r');
}

int isprint(int Character) {
    return Character >= ' ' && Character <= '~';
}

int tolower(int Character) {
    return isupper(Character) ? Character + ('a' - 'A') : Character;
}

int toupper(int Character) {
    return islower(Character) ? Character - ('a' - 'A') : Character;
}

int abs(int Value) {
    return Value < 0 ? (int)(0 - (unsigned)Value) : Value;
}

/* A reader of narrow or wide text. */
typedef struct _DIGITS {
    const void *Text;
    size_t Index;
    BOOLEAN IsWide;
    BOOLEAN IsNegative;
    BOOLEAN HasDigits;
    BOOLEAN Overflows; /* 64 bits */
} DIGITS;

static int Look(const DIGITS *D, size_t Ahead) {
    return D->IsWide ? (USHORT)((PCWSTR)D->Text)[D->Index + Ahead] : ((const UCHAR *)D->Text)[D->Index + Ahead];
}

static int DigitOf(int Character) {
    return isdigit(Character) ? Character - '0' : isalpha(Character) ? toupper(Character) - 'A' + 10 : 99;
}

/* Blanks, a sign, 0x or 0 where the base allows them, then the digits. Base 0: told by the prefix. */
static ULONGLONG ReadDigits(DIGITS *D, int Base) {
    ULONGLONG Value = 0;
    while (isspace(Look(D, 0))) {
        D->Index++;
    }
    if (Look(D, 0) == '-' || Look(D, 0) == '+') {
        D->IsNegative = Look(D, 0) == '-';
        D->Index++;
    }
    if ((Base == 0 || Base == 16) && Look(D, 0) == '0' && (Look(D, 1) | 0x20) == 'x' && isxdigit(Look(D, 2))) {
        D->Index += 2;
        Base = 16;
    }
    if (Base == 0) {
        Base = Look(D, 0) == '0' ? 8 : 10;
    }
    for (int Digit; (Digit = DigitOf(Look(D, 0))) < Base; D->Index++) {
        D->HasDigits = TRUE;
        D->Overflows |= Value > (~0ULL - (ULONGLONG)Digit) / (ULONGLONG)Base;
        Value = Value * (ULONGLONG)Base + (ULONGLONG)Digit;
    }
    return Value;
}

/* Wraps around in 64 bits: Microsoft's documentation does not say otherwise. */
LONGLONG _atoi64(const char *String) {
    DIGITS D = {.Text = String};
    ULONGLONG Value = ReadDigits(&D, 10);
    return (LONGLONG)(D.IsNegative ? 0 - Value : Value);
}

/* Limited to what 32 bits can hold, like the C run-time library's with its 32-bit long. */
static LONG LimitSigned(const DIGITS *D, ULONGLONG Value) {
    if (D->IsNegative) {
        return D->Overflows || Value > 0x80000000ULL ? MINLONG : (LONG)(0 - Value);
    }
    return D->Overflows || Value > MAXLONG ? MAXLONG : (LONG)Value;
}

static ULONG LimitUnsigned(const DIGITS *D, ULONGLONG Value) {
    if (D->Overflows || Value > MAXULONG) {
        return MAXULONG;
    }
    return D->IsNegative ? (ULONG)(0 - Value) : (ULONG)Value;
}

int atol(const char *String) {
    DIGITS D = {.Text = String};
    ULONGLONG Value = ReadDigits(&D, 10);
    return LimitSigned(&D, Value);
}

int atoi(const char *String) {
    return atol(String);
}

int _wtol(const wchar_t *String) {
    DIGITS D = {.Text = String, .IsWide = TRUE};
    ULONGLONG Value = ReadDigits(&D, 10);
    return LimitSigned(&D, Value);
}

int _wtoi(const wchar_t *String) {
    return _wtol(String);
}

LONG strtol(const char *String, char **End, int Base) {
    DIGITS D = {.Text = String};
    ULONGLONG Value = ReadDigits(&D, Base);
    if (End != NULL) {
        *End = (char *)(D.HasDigits ? String + D.Index : String);
    }
    return LimitSigned(&D, Value);
}

ULONG strtoul(const char *String, char **End, int Base) {
    DIGITS D = {.Text = String};
    ULONGLONG Value = ReadDigits(&D, Base);
    if (End != NULL) {
        *End = (char *)(D.HasDigits ? String + D.Index : String);
    }
    return LimitUnsigned(&D, Value);
}

ULONG wcstoul(const wchar_t *String, wchar_t **End, int Base) {
    DIGITS D = {.Text = String, .IsWide = TRUE};
    ULONGLONG Value = ReadDigits(&D, Base);
    if (End != NULL) {
        *End = (wchar_t *)(D.HasDigits ? String + D.Index : String);
    }
    return LimitUnsigned(&D, Value);
}

/* Digits backwards into Text (33 are enough for base 2 and a sign); their number. Only base 10 has a sign. */
static ULONG WriteDigits(int Value, int Radix, char *Text) {
    ULONG Rest = Radix == 10 && Value < 0 ? 0 - (ULONG)Value : (ULONG)Value, Count = 0;
    do {
        Text[Count++] = "0123456789abcdefghijklmnopqrstuvwxyz"[Rest % (ULONG)Radix];
        Rest /= (ULONG)Radix;
    } while (Rest != 0);
    if (Radix == 10 && Value < 0) {
        Text[Count++] = '-';
    }
    return Count;
}

/* EINVAL, ERANGE. */
errno_t _itoa_s(int Value, char *Buffer, size_t Room, int Radix) {
    char Text[34];
    if (Buffer == NULL || Room == 0 || Radix < 2 || Radix > 36) {
        return EINVAL;
    }
    ULONG Count = WriteDigits(Value, Radix, Text);
    Buffer[0] = 0;
    if (Count >= Room) {
        return ERANGE;
    }
    Buffer[Count] = 0;
    for (ULONG i = 0; i < Count; i++) {
        Buffer[i] = Text[Count - 1 - i];
    }
    return 0;
}

/* EINVAL, ERANGE. */
errno_t _itow_s(int Value, wchar_t *Buffer, size_t Room, int Radix) {
    char Text[34];
    errno_t Result = Buffer == NULL || Room == 0 ? EINVAL : _itoa_s(Value, Text, sizeof(Text), Radix);
    if (Result != 0) {
        return Result;
    }
    Buffer[0] = 0;
    if (strlen(Text) >= Room) {
        return ERANGE;
    }
    for (size_t i = 0; i <= strlen(Text); i++) {
        Buffer[i] = (wchar_t)Text[i];
    }
    return 0;
}

char *_itoa(int Value, char *Buffer, int Radix) {
    _itoa_s(Value, Buffer, 34, Radix);
    return Buffer;
}

wchar_t *_itow(int Value, wchar_t *Buffer, int Radix) {
    _itow_s(Value, Buffer, 34, Radix);
    return Buffer;
}

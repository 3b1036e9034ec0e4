/* format.c: NT's printf: `l` is 32 bits, I64 is 64, Z a counted string, S one of the other width.
 *
 * One engine serves narrow and wide formats: it reads the format and writes the text character by character through an
 * OUTPUT, which knows the widths and the room, and counts the characters beyond it too.
 *   %[flags - + blank 0 #][width or *][.precision or .*][size h l ll w I I32 I64 z t j]conversion
 *   d i u o x X p   numbers       c C s S   text       Z   ANSI_STRING, wZ   UNICODE_STRING       %   itself
 * Floating point does not occur in the kernel. */
#include <ntddk.h>
#include <rtl.h>

typedef struct _OUTPUT {
    PVOID Buffer;
    SIZE_T Capacity; /* characters, without the terminator */
    SIZE_T Length;   /* characters, also those that found no room */
    BOOLEAN IsWide;
    CHAR (*Convert)(WCHAR); /* wide text into a narrow buffer; NULL: Latin-1 */
} OUTPUT;

typedef enum _TEXT_SIZE { SizeDefault, SizeChar, SizeShort, SizeLong, SizeWide, SizePointer, Size32, Size64 } TEXT_SIZE;

typedef struct _CONVERSION {
    BOOLEAN LeftAligned, PlusSign, Blank, ZeroFilled, Alternative;
    int Width;
    int Precision; /* -1: none given */
    TEXT_SIZE Size;
    WCHAR Letter;
} CONVERSION;

static VOID Emit(OUTPUT *Output, WCHAR Character) {
    if (Output->Length < Output->Capacity) {
        if (Output->IsWide) {
            ((PWCHAR)Output->Buffer)[Output->Length] = Character;
        } else {
            ((PCHAR)Output->Buffer)[Output->Length] = (CHAR)((USHORT)Character < 0x100 ? Character : '?');
        }
    }
    Output->Length++;
}

/* A character of an argument's text. */
static VOID EmitArgument(OUTPUT *Output, WCHAR Character, BOOLEAN IsWide) {
    Emit(Output, IsWide && Output->Convert != NULL ? (WCHAR)(UCHAR)Output->Convert(Character) : Character);
}

/* Beyond the room it only counts: a width of two thousand million must not keep a CPU busy at HIGH_LEVEL. */
static VOID EmitRepeated(OUTPUT *Output, WCHAR Character, int Count) {
    while (Count > 0 && Output->Length < Output->Capacity) {
        Emit(Output, Character);
        Count--;
    }
    Output->Length += Count > 0 ? (SIZE_T)Count : 0;
}

static WCHAR FetchCharacter(const void *Text, SIZE_T Index, BOOLEAN IsWide) {
    return IsWide ? ((PCWSTR)Text)[Index] : (WCHAR)((const UCHAR *)Text)[Index];
}

static VOID EmitText(OUTPUT *Output, const CONVERSION *C, const void *Text, int Length, BOOLEAN IsWide) {
    if (!C->LeftAligned) {
        EmitRepeated(Output, ' ', C->Width - Length);
    }
    for (int i = 0; i < Length; i++) {
        EmitArgument(Output, FetchCharacter(Text, (SIZE_T)i, IsWide), IsWide);
    }
    if (C->LeftAligned) {
        EmitRepeated(Output, ' ', C->Width - Length);
    }
}

static VOID FormatString(OUTPUT *Output, const CONVERSION *C, const void *Text, BOOLEAN IsWide) {
    if (Text == NULL) {
        Text = "(null)";
        IsWide = FALSE;
    }
    int Length = 0;
    while ((C->Precision < 0 || Length < C->Precision) && Length < 0x7FFF &&
           FetchCharacter(Text, (SIZE_T)Length, IsWide) != 0) {
        Length++;
    }
    EmitText(Output, C, Text, Length, IsWide);
}

/* STRING and UNICODE_STRING have the same layout; Length counts bytes. */
static VOID FormatCounted(OUTPUT *Output, const CONVERSION *C, const STRING *String, BOOLEAN IsWide) {
    if (String == NULL || String->Buffer == NULL) {
        FormatString(Output, C, NULL, FALSE);
        return;
    }
    int Length = IsWide ? String->Length / (int)sizeof(WCHAR) : String->Length;
    if (C->Precision >= 0 && Length > C->Precision) {
        Length = C->Precision;
    }
    EmitText(Output, C, String->Buffer, Length, IsWide);
}

static VOID FormatNumber(OUTPUT *Output, const CONVERSION *C, ULONG64 Value, BOOLEAN IsNegative, ULONG Base) {
    const CHAR *Letters = C->Letter == 'x' ? "0123456789abcdef" : "0123456789ABCDEF";
    CHAR Digits[24]; /* 22 octal digits at most */
    int Count = 0;
    for (ULONG64 Rest = Value; Rest != 0; Rest /= Base) {
        Digits[Count++] = Letters[Rest % Base];
    }
    if (Count == 0 && C->Precision != 0) {
        Digits[Count++] = '0';
    }
    CHAR Sign = IsNegative ? '-' : C->PlusSign ? '+' : C->Blank ? ' ' : 0;
    int PrefixLength = C->Alternative && Value != 0 ? (Base == 16 ? 2 : Base == 8 ? 1 : 0) : 0;
    int Zeros = C->Precision > Count ? C->Precision - Count : 0;
    int Used = Count + PrefixLength + (Sign != 0);
    if (C->ZeroFilled && !C->LeftAligned && C->Precision < 0 && C->Width > Used) {
        Zeros = C->Width - Used;
    }
    if (!C->LeftAligned) {
        EmitRepeated(Output, ' ', C->Width - Used - Zeros);
    }
    if (Sign != 0) {
        Emit(Output, (WCHAR)Sign);
    }
    if (PrefixLength != 0) {
        Emit(Output, '0');
    }
    if (PrefixLength == 2) {
        Emit(Output, C->Letter == 'x' ? 'x' : 'X');
    }
    EmitRepeated(Output, '0', Zeros);
    for (int i = Count; i-- > 0;) {
        Emit(Output, (WCHAR)Digits[i]);
    }
    if (C->LeftAligned) {
        EmitRepeated(Output, ' ', C->Width - Used - Zeros);
    }
}

/* A reader of the format, of either width. */
typedef struct _INPUT {
    const void *Format;
    SIZE_T Index;
    BOOLEAN IsWide;
} INPUT;

static WCHAR Peek(const INPUT *Input, SIZE_T Ahead) {
    return FetchCharacter(Input->Format, Input->Index + Ahead, Input->IsWide);
}

static BOOLEAN Accept(INPUT *Input, CHAR Character) {
    if (Peek(Input, 0) != (WCHAR)Character) {
        return FALSE;
    }
    Input->Index++;
    return TRUE;
}

#define LARGEST_WIDTH 0xFFFFFF /* no caller means more, and sums of a few stay in an int */

/* A width or a precision: digits, or for `*` an argument. */
static int ReadNumber(INPUT *Input, va_list *Arguments) {
    int Number = 0;
    if (Accept(Input, '*')) {
        Number = va_arg(*Arguments, int);
        return max(min(Number, LARGEST_WIDTH), -LARGEST_WIDTH);
    }
    for (; Peek(Input, 0) >= '0' && Peek(Input, 0) <= '9'; Input->Index++) {
        Number = min(Number * 10 + (Peek(Input, 0) - '0'), LARGEST_WIDTH);
    }
    return Number;
}

static VOID ReadFlags(INPUT *Input, CONVERSION *C) {
    for (;;) {
        if (Accept(Input, '-')) {
            C->LeftAligned = TRUE;
        } else if (Accept(Input, '+')) {
            C->PlusSign = TRUE;
        } else if (Accept(Input, ' ')) {
            C->Blank = TRUE;
        } else if (Accept(Input, '0')) {
            C->ZeroFilled = TRUE;
        } else if (Accept(Input, '#')) {
            C->Alternative = TRUE;
        } else {
            return;
        }
    }
}

static TEXT_SIZE ReadSize(INPUT *Input) {
    if (Accept(Input, 'h')) {
        return Accept(Input, 'h') ? SizeChar : SizeShort;
    }
    if (Accept(Input, 'l')) {
        return Accept(Input, 'l') ? Size64 : SizeLong;
    }
    if (Accept(Input, 'w')) {
        return SizeWide;
    }
    if (Accept(Input, 'I')) {
        if (Peek(Input, 0) == '6' && Peek(Input, 1) == '4') {
            Input->Index += 2;
            return Size64;
        }
        if (Peek(Input, 0) == '3' && Peek(Input, 1) == '2') {
            Input->Index += 2;
            return Size32;
        }
        return SizePointer;
    }
    return Accept(Input, 'z') || Accept(Input, 't') ? SizePointer : Accept(Input, 'j') ? Size64 : SizeDefault;
}

static ULONG64 FetchNumber(TEXT_SIZE Size, BOOLEAN IsSigned, va_list *Arguments) {
    if (Size == Size64 || Size == SizePointer) {
        return va_arg(*Arguments, ULONG64);
    }
    ULONG Value = va_arg(*Arguments, ULONG);
    if (Size == SizeShort) {
        return IsSigned ? (ULONG64)(SHORT)Value : (USHORT)Value;
    }
    if (Size == SizeChar) {
        return IsSigned ? (ULONG64)(SCHAR)Value : (UCHAR)Value;
    }
    return IsSigned ? (ULONG64)(LONG)Value : Value;
}

/* c and s have the width of the format, C and S the other one; h, l and w decide otherwise. */
static BOOLEAN IsWideText(const CONVERSION *C, BOOLEAN FormatIsWide) {
    if (C->Size == SizeShort) {
        return FALSE;
    }
    if (C->Size == SizeLong || C->Size == SizeWide) {
        return TRUE;
    }
    return (C->Letter == 'S' || C->Letter == 'C') ? !FormatIsWide : FormatIsWide;
}

/* Converts one argument. FALSE: no such conversion; nothing is fetched. */
static BOOLEAN Convert(OUTPUT *Output, CONVERSION *C, va_list *Arguments) {
    LONG64 Signed;
    WCHAR Character;
    switch (C->Letter) {
    case 'd':
    case 'i':
        Signed = (LONG64)FetchNumber(C->Size, TRUE, Arguments);
        FormatNumber(Output, C, Signed < 0 ? 0 - (ULONG64)Signed : (ULONG64)Signed, Signed < 0, 10);
        return TRUE;
    case 'u':
    case 'o':
    case 'x':
    case 'X':
        C->PlusSign = C->Blank = FALSE;
        FormatNumber(Output, C, FetchNumber(C->Size, FALSE, Arguments), FALSE,
                     C->Letter == 'u'   ? 10
                     : C->Letter == 'o' ? 8
                                        : 16);
        return TRUE;
    case 'p':
        C->PlusSign = C->Blank = C->Alternative = FALSE;
        C->Precision = 16;
        FormatNumber(Output, C, va_arg(*Arguments, ULONG64), FALSE, 16);
        return TRUE;
    case 'c':
    case 'C':
        Character = (WCHAR)va_arg(*Arguments, int);
        if (IsWideText(C, Output->IsWide)) {
            EmitText(Output, C, &Character, 1, TRUE);
        } else {
            CHAR Byte = (CHAR)Character;
            EmitText(Output, C, &Byte, 1, FALSE);
        }
        return TRUE;
    case 's':
    case 'S':
        FormatString(Output, C, va_arg(*Arguments, const void *), IsWideText(C, Output->IsWide));
        return TRUE;
    case 'Z':
        FormatCounted(Output, C, va_arg(*Arguments, const STRING *), C->Size == SizeWide || C->Size == SizeLong);
        return TRUE;
    case '%':
        Emit(Output, '%');
        return TRUE;
    default:
        return FALSE;
    }
}

static VOID ReadConversion(INPUT *Input, CONVERSION *C, va_list *Arguments) {
    ReadFlags(Input, C);
    C->Width = ReadNumber(Input, Arguments);
    if (C->Width < 0) {
        C->LeftAligned = TRUE;
        C->Width = -C->Width;
    }
    C->Precision = Accept(Input, '.') ? ReadNumber(Input, Arguments) : -1;
    C->Size = ReadSize(Input);
    C->Letter = Peek(Input, 0);
}

static VOID Format(OUTPUT *Output, const void *FormatText, va_list *Arguments) {
    INPUT Input = {FormatText, 0, Output->IsWide};
    for (WCHAR Character; (Character = Peek(&Input, 0)) != 0;) {
        Input.Index++;
        if (Character != '%') {
            Emit(Output, Character);
            continue;
        }
        SIZE_T Start = Input.Index;
        CONVERSION C = {0};
        ReadConversion(&Input, &C, Arguments);
        if (C.Letter != 0 && Convert(Output, &C, Arguments)) {
            Input.Index++;
            continue;
        }
        /* Shown as it is, for its author to see. */
        Emit(Output, '%');
        for (SIZE_T End = Input.Index; Start < End; Start++) {
            Emit(Output, FetchCharacter(FormatText, Start, Input.IsWide));
        }
    }
}

/* Any IRQL for narrow text. Writes at most Characters and no terminator; returns the length of the whole text. */
SIZE_T RtlFormatCharactersV(PVOID Buffer, SIZE_T Characters, BOOLEAN IsWide, const void *FormatText,
                            va_list Arguments) {
    OUTPUT Output = {Buffer, Characters, 0, IsWide, NULL};
    va_list Copy; /* a va_list parameter is a pointer, whose address is no va_list * */
    va_copy(Copy, Arguments);
    Format(&Output, FormatText, &Copy);
    va_end(Copy);
    return Output.Length;
}

SIZE_T RtlFormatConvertedV(PCHAR Buffer, SIZE_T Bytes, CHAR (*Convert)(WCHAR), PCSTR FormatText, va_list Arguments) {
    OUTPUT Output = {Buffer, Bytes, 0, FALSE, Convert};
    va_list Copy;
    va_copy(Copy, Arguments);
    Format(&Output, FormatText, &Copy);
    va_end(Copy);
    return Output.Length;
}

int RtlFormatV(PCHAR Buffer, SIZE_T Bytes, PCSTR FormatText, va_list Arguments) {
    SIZE_T Length = RtlFormatCharactersV(Buffer, Bytes == 0 ? 0 : Bytes - 1, FALSE, FormatText, Arguments);
    if (Bytes != 0) {
        Buffer[Length < Bytes ? Length : Bytes - 1] = 0;
    }
    return (int)min(Length, (SIZE_T)MAXLONG);
}

int RtlFormat(PCHAR Buffer, SIZE_T Bytes, PCSTR FormatText, ...) {
    va_list Arguments;
    va_start(Arguments, FormatText);
    int Length = RtlFormatV(Buffer, Bytes, FormatText, Arguments);
    va_end(Arguments);
    return Length;
}

/* integer.c: numbers and GUIDs as counted UTF-16 strings, and back. Any IRQL at which the strings are resident. */
#include <ntddk.h>
#include <rtl.h>

/* STATUS_BUFFER_OVERFLOW, and the length needed in Length, when the text does not fit with its terminator. */
static NTSTATUS PutText(PUNICODE_STRING String, const CHAR *Text, ULONG Characters) {
    String->Length = (USHORT)(Characters * sizeof(WCHAR));
    if (String->Length + sizeof(WCHAR) > String->MaximumLength) {
        return STATUS_BUFFER_OVERFLOW;
    }
    for (ULONG i = 0; i < Characters; i++) {
        String->Buffer[i] = (WCHAR)Text[i];
    }
    String->Buffer[Characters] = 0;
    return STATUS_SUCCESS;
}

/* Base 0 (which is 10), 2, 8, 10, 16; otherwise STATUS_INVALID_PARAMETER. STATUS_BUFFER_OVERFLOW. */
NTSTATUS RtlInt64ToUnicodeString(ULONGLONG Value, ULONG Base, PUNICODE_STRING String) {
    CHAR Text[64];
    ULONG First = sizeof(Text);
    if (Base == 0) {
        Base = 10;
    }
    if (Base != 2 && Base != 8 && Base != 10 && Base != 16) {
        return STATUS_INVALID_PARAMETER;
    }
    do {
        Text[--First] = "0123456789ABCDEF"[Value % Base];
        Value /= Base;
    } while (Value != 0);
    return PutText(String, Text + First, sizeof(Text) - First);
}

/* The same. */
NTSTATUS RtlIntegerToUnicodeString(ULONG Value, ULONG Base, PUNICODE_STRING String) {
    return RtlInt64ToUnicodeString(Value, Base, String);
}

static ULONG DigitAt(PCUNICODE_STRING String, ULONG Index) {
    WCHAR Character = Index < String->Length / sizeof(WCHAR) ? String->Buffer[Index] : 0;
    return Character >= '0' && Character <= '9'   ? (ULONG)(Character - '0')
           : Character >= 'A' && Character <= 'F' ? (ULONG)(Character - 'A' + 10)
           : Character >= 'a' && Character <= 'f' ? (ULONG)(Character - 'a' + 10)
                                                  : 99;
}

/* Blanks, a sign, and with base 0 a prefix 0x, 0o or 0b; then digits, up to the first other character. No digits: 0.
 * STATUS_INVALID_PARAMETER: a bad base; STATUS_ACCESS_VIOLATION: Value is NULL. Wraps around in 32 bits. */
NTSTATUS RtlUnicodeStringToInteger(PCUNICODE_STRING String, ULONG Base, PULONG Value) {
    ULONG Length = String->Length / sizeof(WCHAR), i = 0, Number = 0;
    if (Base != 0 && Base != 2 && Base != 8 && Base != 10 && Base != 16) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Value == NULL) {
        return STATUS_ACCESS_VIOLATION;
    }
    while (i < Length && (USHORT)String->Buffer[i] <= ' ') {
        i++;
    }
    BOOLEAN IsNegative = i < Length && String->Buffer[i] == '-';
    if (i < Length && (IsNegative || String->Buffer[i] == '+')) {
        i++;
    }
    if (Base == 0) {
        Base = 10;
        if (i + 1 < Length && String->Buffer[i] == '0') {
            WCHAR Prefix = String->Buffer[i + 1];
            Base = Prefix == 'x' ? 16 : Prefix == 'o' ? 8 : Prefix == 'b' ? 2 : 10;
            i += Base == 10 ? 0 : 2;
        }
    }
    for (ULONG Digit; (Digit = DigitAt(String, i)) < Base; i++) {
        Number = Number * Base + Digit;
    }
    *Value = IsNegative ? 0 - Number : Number;
    return STATUS_SUCCESS;
}

/* {xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx}: where the bytes of a GUID are in memory, in the order of the text. */
static const UCHAR Order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

static BOOLEAN HasDashBefore(ULONG Byte) {
    return Byte == 4 || Byte == 6 || Byte == 8 || Byte == 10;
}

/* RTL_GUID_STRING_SIZE characters into Text, without a terminator. */
VOID RtlFormatGuid(const GUID *Guid, PCHAR Text) {
    const UCHAR *Bytes = (const UCHAR *)Guid;
    *Text++ = '{';
    for (ULONG i = 0; i < sizeof(GUID); i++) {
        if (HasDashBefore(i)) {
            *Text++ = '-';
        }
        *Text++ = "0123456789abcdef"[Bytes[Order[i]] >> 4];
        *Text++ = "0123456789abcdef"[Bytes[Order[i]] & 15];
    }
    *Text = '}';
}

/* STATUS_INVALID_PARAMETER for any other shape. */
NTSTATUS RtlGUIDFromString(PCUNICODE_STRING GuidString, GUID *Guid) {
    GUID Result;
    ULONG At = 1;
    if (GuidString->Length != RTL_GUID_STRING_SIZE * sizeof(WCHAR) || GuidString->Buffer[0] != '{' ||
        GuidString->Buffer[RTL_GUID_STRING_SIZE - 1] != '}') {
        return STATUS_INVALID_PARAMETER;
    }
    for (ULONG i = 0; i < sizeof(GUID); i++, At += 2) {
        if (HasDashBefore(i) && GuidString->Buffer[At++] != '-') {
            return STATUS_INVALID_PARAMETER;
        }
        ULONG HighDigit = DigitAt(GuidString, At), LowDigit = DigitAt(GuidString, At + 1);
        if (HighDigit > 15 || LowDigit > 15) {
            return STATUS_INVALID_PARAMETER;
        }
        ((PUCHAR)&Result)[Order[i]] = (UCHAR)(HighDigit << 4 | LowDigit);
    }
    *Guid = Result;
    return STATUS_SUCCESS;
}

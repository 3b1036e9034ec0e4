/* name.c: a file's two names: up to 255 characters for people, and 8 + 3 in the entry itself.
 *
 * A name that fits into 8 + 3, with each half in one case, needs no long name: two bits keep the case, as Windows NT
 * does. Any other gets a long name, and a short one made of it that ends in ~N. */
#include "fat.h"

#define BASE_LENGTH 8
#define SHORT_LENGTH 11

/* Upper case, for comparisons: ASCII, Latin-1, Greek and Cyrillic. */
PAGEABLE WCHAR FatUpcase(WCHAR Character) {
    if (Character < 0x80) {
        return Character >= 'a' && Character <= 'z' ? (WCHAR)(Character - 0x20) : Character;
    }
    if ((Character >= 0xE0 && Character <= 0xFE && Character != 0xF7) ||
        (Character >= 0x3B1 && Character <= 0x3C9 && Character != 0x3C2) ||
        (Character >= 0x430 && Character <= 0x44F)) {
        return (WCHAR)(Character - 0x20);
    }
    return Character >= 0x450 && Character <= 0x45F ? (WCHAR)(Character - 0x50) : Character;
}

/* No set has a letter or a digit. */
PAGEABLE static BOOLEAN IsIn(WCHAR Character, const CHAR *Set) {
    WCHAR Lower = Character | 0x20;
    if ((Lower >= 'a' && Lower <= 'z') || (Character >= '0' && Character <= '9')) {
        return FALSE;
    }
    for (; *Set != 0; Set++) {
        if (Character == (UCHAR)*Set) {
            return TRUE;
        }
    }
    return FALSE;
}

PAGEABLE BOOLEAN FatIsNameValid(const WCHAR *Name, ULONG Length) {
    if (Length == 0 || Length > FAT_MAXIMUM_NAME || (Length == 1 && Name[0] == '.') ||
        (Length == 2 && Name[0] == '.' && Name[1] == '.')) {
        return FALSE;
    }
    for (ULONG i = 0; i < Length; i++) {
        if (Name[i] < 0x20 || IsIn(Name[i], "\"*/:<>?\\|")) {
            return FALSE;
        }
    }
    return TRUE;
}

PAGEABLE BOOLEAN FatNamesEqual(const WCHAR *A, ULONG LengthA, const WCHAR *B, ULONG LengthB) {
    for (ULONG i = 0; LengthA == LengthB && i < LengthA; i++) {
        if (A[i] != B[i] && FatUpcase(A[i]) != FatUpcase(B[i])) {
            return FALSE;
        }
    }
    return LengthA == LengthB;
}

/* ---- Short names ---- */

PAGEABLE static BOOLEAN IsShortCharacter(WCHAR Character) {
    return Character > 0x20 && Character < 0x7F && !IsIn(Character, "\"*/:<>?\\|+,;=[].");
}

/* Where the extension begins behind its dot, or Length. */
PAGEABLE static ULONG FindExtension(const WCHAR *Name, ULONG Length) {
    for (ULONG i = Length; i > 1; i--) {
        if (Name[i - 1] == '.') {
            return i;
        }
    }
    return Length;
}

/* Copies what a short name may hold, in upper case. TRUE: nothing was lost, and it is in one case. */
PAGEABLE static BOOLEAN CopyHalf(const WCHAR *From, ULONG Length, PUCHAR To, ULONG Room, PBOOLEAN IsLower) {
    ULONG Used = 0, Lower = 0, Upper = 0;
    BOOLEAN IsExact = TRUE;
    for (ULONG i = 0; i < Length; i++) {
        BOOLEAN Fits = Used < Room, IsDropped = From[i] == ' ' || From[i] == '.';
        IsExact &= Fits && IsShortCharacter(From[i]);
        if (!Fits || IsDropped) {
            continue;
        }
        Lower += From[i] >= 'a' && From[i] <= 'z';
        Upper += From[i] >= 'A' && From[i] <= 'Z';
        To[Used++] = IsShortCharacter(From[i]) ? (UCHAR)FatUpcase(From[i]) : '_';
    }
    *IsLower = Lower != 0;
    return IsExact && (Lower == 0 || Upper == 0);
}

PAGEABLE BOOLEAN FatMakeShortName(const WCHAR *Name, ULONG Length, UCHAR Short[11], PUCHAR Case) {
    ULONG Extension = FindExtension(Name, Length);
    ULONG BaseLength = Extension < Length || (Length > 1 && Name[Length - 1] == '.') ? Extension - 1 : Length;
    BOOLEAN IsBaseLower, IsExtensionLower;
    for (ULONG i = 0; i < SHORT_LENGTH; i++) {
        Short[i] = ' ';
    }
    BOOLEAN IsExact = CopyHalf(Name, BaseLength, Short, BASE_LENGTH, &IsBaseLower);
    IsExact &= CopyHalf(Name + Extension, Length - Extension, Short + BASE_LENGTH, SHORT_LENGTH - BASE_LENGTH,
                        &IsExtensionLower);
    if (Short[0] == ' ') {
        Short[0] = '_';
        IsExact = FALSE;
    }
    IsExact &= Name[Length - 1] != '.';
    *Case = IsExact ? (UCHAR)((IsBaseLower ? FAT_CASE_BASE : 0) | (IsExtensionLower ? FAT_CASE_EXTENSION : 0)) : 0;
    return IsExact;
}

PAGEABLE ULONG FatHashName(const WCHAR *Name, ULONG Length) {
    ULONG Hash = 2166136261u;
    for (ULONG i = 0; i < Length; i++) {
        Hash = (Hash ^ FatUpcase(Name[i])) * 16777619u;
    }
    return Hash;
}

/* The first few are BASE~1 to BASE~4; then four digits of the long name's hash are in the middle, so that a
 * directory of many similar names does not cost a search each. */
PAGEABLE VOID FatNumberShortName(UCHAR Short[11], const WCHAR *Name, ULONG Length, ULONG Number) {
    static const CHAR Digits[] = "0123456789ABCDEF";
    CHAR Tail[8];
    ULONG TailLength = 0, Base = 0, Value = Number;
    if (Number > 4) {
        ULONG Hash = FatHashName(Name, Length) + Number / 9;
        for (ULONG i = 0; i < 4; i++, Hash >>= 4) {
            Tail[5 - i] = Digits[Hash & 15];
        }
        Tail[1] = '~';
        Tail[0] = Digits[Number % 9 + 1];
        TailLength = 6;
    } else {
        Tail[TailLength++] = Digits[Value];
        Tail[TailLength++] = '~';
    }
    while (Base < BASE_LENGTH - TailLength && Short[Base] != ' ' && Short[Base] != '~') {
        Base++;
    }
    if (TailLength == 6) { /* BAXXXX~N: digits of the hash, then the mark */
        for (ULONG i = 0; i < 4; i++) {
            Short[Base++] = (UCHAR)Tail[2 + i];
        }
        TailLength = 2;
    }
    while (TailLength != 0) {
        Short[Base++] = (UCHAR)Tail[--TailLength];
    }
    while (Base < BASE_LENGTH) {
        Short[Base++] = ' ';
    }
}

PAGEABLE static ULONG HalfToText(const UCHAR *From, ULONG Length, BOOLEAN IsLower, WCHAR *To) {
    while (Length != 0 && From[Length - 1] == ' ') {
        Length--;
    }
    for (ULONG i = 0; i < Length; i++) {
        To[i] = IsLower && From[i] >= 'A' && From[i] <= 'Z' ? (WCHAR)(From[i] + 0x20) : From[i];
    }
    return Length;
}

PAGEABLE ULONG FatShortToText(const FAT_ENTRY *Entry, WCHAR Text[13]) {
    ULONG Length = HalfToText(Entry->Name, BASE_LENGTH, (Entry->Case & FAT_CASE_BASE) != 0, Text);
    if (Length != 0 && Entry->Name[0] == 0x05) {
        Text[0] = FAT_DELETED; /* the one letter that would look like a deleted entry is stored as 5 */
    }
    Text[Length] = '.';
    ULONG Extension = HalfToText(Entry->Name + BASE_LENGTH, SHORT_LENGTH - BASE_LENGTH,
                                 (Entry->Case & FAT_CASE_EXTENSION) != 0, Text + Length + 1);
    Length += Extension == 0 ? 0 : Extension + 1;
    Text[Length] = 0;
    return Length;
}

/* "Checksum": ties a long name to the short one behind it. */
PAGEABLE UCHAR FatChecksum(const UCHAR Short[11]) {
    UCHAR Sum = 0;
    for (ULONG i = 0; i < SHORT_LENGTH; i++) {
        Sum = (UCHAR)((Sum >> 1 | Sum << 7) + Short[i]);
    }
    return Sum;
}

/* ---- Patterns ---- */

/* How many characters at Pattern[0] one step of the name may use: see FatMatches. */
PAGEABLE static BOOLEAN MatchesOne(WCHAR Pattern, WCHAR Character) {
    return Pattern == '?' || Pattern == '>' || (Pattern == '"' && Character == '.') ||
           FatUpcase(Pattern) == FatUpcase(Character);
}

PAGEABLE static BOOLEAN IsStar(WCHAR Character) {
    return Character == '*' || Character == '<';
}

/* '*' and '<' any run of characters, '?' and '>' one, '"' a dot. At the end of the name '>' and '"' stand for nothing,
 * so that DOS's *.* is all files. Goes back to the last star only, so the time is at most Pattern times Length. */
PAGEABLE BOOLEAN FatMatches(const WCHAR *Pattern, ULONG PatternLength, const WCHAR *Name, ULONG Length) {
    ULONG p = 0, n = 0, AfterStar = 0, Resume = 0;
    BOOLEAN HasStar = FALSE;
    if (PatternLength == 3 && Pattern[0] == '*' && Pattern[1] == '.' && Pattern[2] == '*') {
        return TRUE;
    }
    while (n < Length) {
        if (p < PatternLength && IsStar(Pattern[p])) {
            HasStar = TRUE;
            AfterStar = ++p;
            Resume = n;
        } else if (p < PatternLength && MatchesOne(Pattern[p], Name[n])) {
            p++;
            n++;
        } else if (HasStar) {
            p = AfterStar;
            n = ++Resume;
        } else {
            return FALSE;
        }
    }
    while (p < PatternLength && (IsStar(Pattern[p]) || Pattern[p] == '>' || Pattern[p] == '"')) {
        p++;
    }
    return p == PatternLength;
}

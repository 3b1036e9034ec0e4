/* options.c: the kernel's command line: "name" or "name=value", separated by blanks. */
#include <bootinfo.h>
#include <ring.h>

static BOOT_INFO BootInfo;
PBOOT_INFO KeBootInfo = &BootInfo;
ULONG64 KeSeed;
const KE_VERIFIER *KeVerifier; /* the options say whether there is one */

/* The character behind "name" in the command line: '=', blank or 0; NULL when the option is not there. */
static PCSTR FindOption(PCSTR Name) {
    SIZE_T NameLength = strlen(Name);
    PCSTR Word = KeBootInfo->CommandLine;
    while (*Word) {
        while (*Word == ' ') {
            Word++;
        }
        PCSTR End = Word;
        while (*End && *End != ' ' && *End != '=') {
            End++;
        }
        if ((SIZE_T)(End - Word) == NameLength && memcmp(Word, Name, NameLength) == 0) {
            return End;
        }
        while (*End && *End != ' ') {
            End++;
        }
        Word = End;
    }
    return NULL;
}

/* TRUE when the option is there; Value (may be NULL) gets its text, cut to ValueBytes. Any IRQL. */
BOOLEAN KeGetBootOption(PCSTR Name, PCHAR Value, SIZE_T ValueBytes) {
    PCSTR End = FindOption(Name);
    if (End == NULL) {
        return FALSE;
    }
    SIZE_T Length = 0;
    if (*End == '=') {
        for (End++; *End && *End != ' ' && Length + 1 < ValueBytes; End++) {
            Value[Length++] = *End;
        }
    }
    if (ValueBytes > 0) {
        Value[Length] = 0;
    }
    return TRUE;
}

/* A decimal or 0x number; Default when the option is missing or is no number. Any IRQL. */
ULONG64 KeGetBootOptionNumber(PCSTR Name, ULONG64 Default) {
    CHAR Text[24];
    if (!KeGetBootOption(Name, Text, sizeof(Text)) || !Text[0]) {
        return Default;
    }
    ULONG64 Value = 0;
    BOOLEAN IsHex = Text[0] == '0' && Text[1] == 'x';
    for (PCSTR Digit = Text + (IsHex ? 2 : 0); *Digit; Digit++) {
        ULONG Nibble = *Digit >= '0' && *Digit <= '9' ? (ULONG)(*Digit - '0')
                       : IsHex                        ? (ULONG)((*Digit | 32) - 'a' + 10)
                                                      : 99;
        if (Nibble > (IsHex ? 15u : 9u)) {
            return Default;
        }
        Value = Value * (IsHex ? 16 : 10) + Nibble;
    }
    return Value;
}

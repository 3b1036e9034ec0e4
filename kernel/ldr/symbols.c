/* symbols.c: from an address to "secret!SecretStore+0x31 (secret.c:42)", and to its unwind row. Each is a binary search
 * in a table made by mksymbols.py.
 *
 * The files lie in the boot archive, which is resident and never changes, so names are there at any IRQL and while the
 * machine is dying. A file is checked once, when its module is loaded; after that each index in it is good. */
#include <kd.h>
#include <ldr.h>
#include <rtl.h>

typedef struct _TABLE {
    ULONG Count;
    ULONG Offset; /* in the file */
} TABLE;

typedef struct _SYMBOL_FILE {
    CHAR Magic[8];
    ULONG BaseLow, BaseHigh; /* of a linked file's one group */
    TABLE Groups, Symbols, Lines, Rows, Rules, Files, Strings;
} SYMBOL_FILE;

typedef struct _GROUP {
    ULONG ElfIndex;
    ULONG FirstSymbol, SymbolCount, FirstLine, LineCount, FirstRow, RowCount;
} GROUP;

typedef struct _SYMBOL {
    ULONG Offset;
    ULONG Bytes; /* 0: up to the next one */
    ULONG Name;
} SYMBOL;

typedef struct _LINE {
    ULONG Offset;
    USHORT File;
    USHORT Line; /* 0: no line from here on */
} LINE;

/* A rule holds from an offset on; the lowest bits of the word are its number. */
typedef ULONG ROW;
#define ROW_RULE_BITS 8
#define ROW_RULE_MASK ((1u << ROW_RULE_BITS) - 1)
#define NO_RULE 0 /* its number: here is no function */
C_ASSERT(sizeof(KD_UNWIND_RULE) == 8);

static const void *TableOf(const SYMBOL_FILE *File, TABLE Table) {
    return (const UCHAR *)File + Table.Offset;
}

static BOOLEAN IsInside(TABLE Table, SIZE_T EntryBytes, SIZE_T FileBytes) {
    return (Table.Offset & 3) == 0 && Table.Offset <= FileBytes &&
           (ULONG64)Table.Count * EntryBytes <= FileBytes - Table.Offset;
}

static BOOLEAN AreIndicesGood(const SYMBOL_FILE *File) {
    const GROUP *Groups = TableOf(File, File->Groups);
    const SYMBOL *Symbols = TableOf(File, File->Symbols);
    const LINE *Lines = TableOf(File, File->Lines);
    const ROW *Rows = TableOf(File, File->Rows);
    const ULONG *Files = TableOf(File, File->Files);
    for (ULONG i = 0; i < File->Groups.Count; i++) {
        if ((ULONG64)Groups[i].FirstSymbol + Groups[i].SymbolCount > File->Symbols.Count ||
            (ULONG64)Groups[i].FirstLine + Groups[i].LineCount > File->Lines.Count ||
            (ULONG64)Groups[i].FirstRow + Groups[i].RowCount > File->Rows.Count) {
            return FALSE;
        }
    }
    for (ULONG i = 0; i < File->Rows.Count; i++) {
        if ((Rows[i] & ROW_RULE_MASK) >= File->Rules.Count) {
            return FALSE;
        }
    }
    for (ULONG i = 0; i < File->Symbols.Count; i++) {
        if (Symbols[i].Name >= File->Strings.Count) {
            return FALSE;
        }
    }
    for (ULONG i = 0; i < File->Lines.Count; i++) {
        if (Lines[i].File >= File->Files.Count) {
            return FALSE;
        }
    }
    for (ULONG i = 0; i < File->Files.Count; i++) {
        if (Files[i] >= File->Strings.Count) {
            return FALSE;
        }
    }
    return TRUE;
}

BOOLEAN KdCheckSymbols(const void *Data, SIZE_T Bytes) {
    const SYMBOL_FILE *File = Data;
    if (Bytes < sizeof(SYMBOL_FILE) || ((ULONG_PTR)Data & 3) != 0 || memcmp(File->Magic, "BCSYM02", 8) != 0 ||
        !IsInside(File->Groups, sizeof(GROUP), Bytes) || !IsInside(File->Symbols, sizeof(SYMBOL), Bytes) ||
        !IsInside(File->Lines, sizeof(LINE), Bytes) || !IsInside(File->Rows, sizeof(ROW), Bytes) ||
        !IsInside(File->Rules, sizeof(KD_UNWIND_RULE), Bytes) || !IsInside(File->Files, sizeof(ULONG), Bytes) ||
        !IsInside(File->Strings, 1, Bytes) || File->Strings.Count == 0) {
        return FALSE;
    }
    const CHAR *Strings = TableOf(File, File->Strings);
    return Strings[File->Strings.Count - 1] == 0 && AreIndicesGood(File);
}

/* The last of Count entries, each EntryBytes long and starting with its offset, that is not above Offset; or NULL. */
static const void *FindAtOrBelow(const void *Entries, SIZE_T EntryBytes, ULONG Count, ULONG Offset) {
    ULONG Low = 0, High = Count;
    while (Low < High) {
        ULONG Middle = Low + (High - Low) / 2;
        if (*(const ULONG *)((const UCHAR *)Entries + Middle * EntryBytes) <= Offset) {
            Low = Middle + 1;
        } else {
            High = Middle;
        }
    }
    return Low == 0 ? NULL : (const UCHAR *)Entries + (Low - 1) * EntryBytes;
}

/* The group of an address, and the offset in it. */
static const GROUP *FindGroup(PKLDR_DATA_TABLE_ENTRY Module, ULONG64 Address, ULONG *Offset) {
    const SYMBOL_FILE *File = Module->Symbols;
    const GROUP *Groups = TableOf(File, File->Groups);
    ULONG64 Base = (ULONG64)File->BaseHigh << 32 | File->BaseLow;
    const LDR_SECTION *Section = Base == 0 ? LdrFindSection(Module, Address) : NULL;
    if (Base == 0 && Section == NULL) {
        return NULL;
    }
    ULONG ElfIndex = Base == 0 ? Section->ElfIndex : 0;
    *Offset = (ULONG)(Address - (Base == 0 ? Section->Start : Base));
    for (ULONG i = 0; i < File->Groups.Count; i++) {
        if (Groups[i].ElfIndex == ElfIndex) {
            return &Groups[i];
        }
    }
    return NULL;
}

BOOLEAN KdLookupAddress(ULONG64 Address, KD_SYMBOL *Result) {
    PKLDR_DATA_TABLE_ENTRY Module = LdrFindModule(Address);
    *Result = (KD_SYMBOL){0};
    if (Module == NULL) {
        return FALSE;
    }
    Result->Module = Module->Name;
    Result->Offset = Address - (ULONG64)Module->DllBase;
    const SYMBOL_FILE *File = Module->Symbols;
    ULONG Offset;
    const GROUP *Group = File == NULL ? NULL : FindGroup(Module, Address, &Offset);
    if (Group == NULL) {
        return TRUE;
    }
    const CHAR *Strings = TableOf(File, File->Strings);
    const SYMBOL *Symbols = TableOf(File, File->Symbols);
    const SYMBOL *Symbol = FindAtOrBelow(Symbols + Group->FirstSymbol, sizeof(SYMBOL), Group->SymbolCount, Offset);
    if (Symbol != NULL && (Symbol->Bytes == 0 || Offset - Symbol->Offset < Symbol->Bytes)) {
        Result->Function = Strings + Symbol->Name;
        Result->Offset = Offset - Symbol->Offset;
    }
    const LINE *Lines = TableOf(File, File->Lines);
    const LINE *Line = FindAtOrBelow(Lines + Group->FirstLine, sizeof(LINE), Group->LineCount, Offset);
    if (Line != NULL && Line->Line != 0) {
        Result->File = Strings + ((const ULONG *)TableOf(File, File->Files))[Line->File];
        Result->Line = Line->Line;
    }
    return TRUE;
}

const KD_UNWIND_RULE *KdFindUnwindRule(ULONG64 Address) {
    PKLDR_DATA_TABLE_ENTRY Module = LdrFindModule(Address);
    ULONG Offset;
    const GROUP *Group = Module == NULL || Module->Symbols == NULL ? NULL : FindGroup(Module, Address, &Offset);
    if (Group == NULL) {
        return NULL;
    }
    const SYMBOL_FILE *File = Module->Symbols;
    const ROW *Rows = (const ROW *)TableOf(File, File->Rows) + Group->FirstRow;
    const ROW *Row = FindAtOrBelow(Rows, sizeof(ROW), Group->RowCount, Offset << ROW_RULE_BITS | ROW_RULE_MASK);
    ULONG Number = Row == NULL ? NO_RULE : *Row & ROW_RULE_MASK;
    return Number == NO_RULE ? NULL : (const KD_UNWIND_RULE *)TableOf(File, File->Rules) + Number;
}

/* Any IRQL. */
int KdFormatAddress(PCHAR Buffer, SIZE_T Bytes, ULONG64 Address) {
    KD_SYMBOL Symbol;
    if (!KdLookupAddress(Address, &Symbol)) {
        return RtlFormat(Buffer, Bytes, "0x%016I64x", Address);
    }
    if (Symbol.Function == NULL) {
        return RtlFormat(Buffer, Bytes, "%s+0x%I64x", Symbol.Module, Symbol.Offset);
    }
    if (Symbol.File == NULL) {
        return RtlFormat(Buffer, Bytes, "%s!%s+0x%I64x", Symbol.Module, Symbol.Function, Symbol.Offset);
    }
    return RtlFormat(Buffer, Bytes, "%s!%s+0x%I64x (%s:%u)", Symbol.Module, Symbol.Function, Symbol.Offset, Symbol.File,
                     Symbol.Line);
}

/* The address that a group's offset stands for; 0 when its section is not in memory. */
static ULONG64 GroupStart(PKLDR_DATA_TABLE_ENTRY Module, const SYMBOL_FILE *File, const GROUP *Group) {
    if ((File->BaseHigh | File->BaseLow) != 0) {
        return (ULONG64)File->BaseHigh << 32 | File->BaseLow;
    }
    for (ULONG i = 0; i < Module->SectionCount; i++) {
        if (Module->Section[i].ElfIndex == Group->ElfIndex) {
            return Module->Section[i].Start;
        }
    }
    return 0;
}

static BOOLEAN LookupInModule(PKLDR_DATA_TABLE_ENTRY Module, PCSTR Function, ULONG64 *Address) {
    const SYMBOL_FILE *File = Module->Symbols;
    const GROUP *Groups = TableOf(File, File->Groups);
    const SYMBOL *Symbols = TableOf(File, File->Symbols);
    const CHAR *Strings = TableOf(File, File->Strings);
    for (ULONG i = 0; i < File->Groups.Count; i++) {
        ULONG64 Start = GroupStart(Module, File, &Groups[i]);
        for (ULONG n = 0; Start != 0 && n < Groups[i].SymbolCount; n++) {
            const SYMBOL *Symbol = &Symbols[Groups[i].FirstSymbol + n];
            if (strcmp(Strings + Symbol->Name, Function) == 0) {
                *Address = Start + Symbol->Offset;
                return TRUE;
            }
        }
    }
    return FALSE;
}

/* Any IRQL; a linear search. */
BOOLEAN KdLookupName(PCSTR ModuleName, PCSTR Function, ULONG64 *Address) {
    for (PLIST_ENTRY Entry = PsLoadedModuleList.Flink; Entry != &PsLoadedModuleList; Entry = Entry->Flink) {
        PKLDR_DATA_TABLE_ENTRY Module = CONTAINING_RECORD(Entry, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);
        if (Module->Symbols != NULL && strcmp(Module->Name, ModuleName) == 0) {
            return LookupInModule(Module, Function, Address);
        }
    }
    return FALSE;
}

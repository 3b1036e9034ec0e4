/* elf.c: the checks that a file is a relocatable x86-64 ELF file with its tables inside it. */
#include "ldrp.h"
#include <rtl.h>

#define ET_REL 1
#define EM_X86_64 62
#define MAXIMUM_ELF_SECTIONS 4096

static VOID KeepReason(PLDRP_IMAGE Image, NTSTATUS Status, PCSTR Format, va_list Arguments) {
    RtlFormatV(Image->Reason, sizeof(Image->Reason), Format, Arguments);
    for (PCHAR Character = Image->Reason; *Character != 0; Character++) {
        if (*Character < ' ' || *Character > '~') {
            *Character = '?'; /* names out of a damaged file must not reach a terminal */
        }
    }
    Image->Status = Status;
}

BOOLEAN LdrpRefuse(PLDRP_IMAGE Image, PCSTR Format, ...) {
    va_list Arguments;
    va_start(Arguments, Format);
    KeepReason(Image, STATUS_INVALID_IMAGE_FORMAT, Format, Arguments);
    va_end(Arguments);
    return FALSE;
}

BOOLEAN LdrpRefuseAs(PLDRP_IMAGE Image, NTSTATUS Status, PCSTR Format, ...) {
    va_list Arguments;
    va_start(Arguments, Format);
    KeepReason(Image, Status, Format, Arguments);
    va_end(Arguments);
    return FALSE;
}

BOOLEAN LdrpIsLoaded(const ELF_SECTION *Section) {
    return (Section->Flags & SHF_ALLOC) != 0;
}

PCSTR LdrpSectionName(const LDRP_IMAGE *Image, const ELF_SECTION *Section) {
    return Section->Name < Image->SectionNames.Bytes ? Image->SectionNames.Text + Section->Name : "?";
}

PCSTR LdrpSymbolName(const LDRP_IMAGE *Image, const ELF_SYMBOL *Symbol) {
    return Symbol->Name < Image->SymbolNames.Bytes ? Image->SymbolNames.Text + Symbol->Name : "?";
}

static BOOLEAN IsInFile(const LDRP_IMAGE *Image, ULONG64 Offset, ULONG64 Bytes) {
    return Offset <= Image->FileBytes && Bytes <= Image->FileBytes - Offset;
}

static BOOLEAN CheckHeader(PLDRP_IMAGE Image) {
    static const UCHAR Ident[7] = {0x7F, 'E', 'L', 'F', 2 /* 64 bits */, 1 /* little-endian */, 1};
    const ELF_HEADER *Header = (const ELF_HEADER *)Image->File;
    if (Image->FileBytes < sizeof(ELF_HEADER)) {
        return LdrpRefuse(Image, "truncated: no room for an ELF header in %zu bytes", Image->FileBytes);
    }
    if (memcmp(Header->Ident, Ident, sizeof(Ident)) != 0) {
        return LdrpRefuse(Image, "not a 64-bit little-endian ELF file");
    }
    if (Header->Machine != EM_X86_64) {
        return LdrpRefuse(Image, "built for machine %u, not for x86-64 (%u)", Header->Machine, EM_X86_64);
    }
    if (Header->Type != ET_REL) {
        return LdrpRefuse(Image, "ELF type %u, not a relocatable file (%u)", Header->Type, ET_REL);
    }
    if (Header->SectionEntryBytes != sizeof(ELF_SECTION) || Header->SectionCount == 0 ||
        Header->SectionCount > MAXIMUM_ELF_SECTIONS || (Header->SectionOffset & 3) != 0) {
        return LdrpRefuse(Image, "damaged section table");
    }
    if (!IsInFile(Image, Header->SectionOffset, (ULONG64)Header->SectionCount * sizeof(ELF_SECTION))) {
        return LdrpRefuse(Image, "truncated: the section table lies beyond the end of the file");
    }
    Image->Sections = (const ELF_SECTION *)(Image->File + Header->SectionOffset);
    Image->SectionCount = Header->SectionCount;
    return TRUE;
}

/* A string table that ends with a 0 byte, so that each name in it ends too. */
static BOOLEAN ReadStrings(PLDRP_IMAGE Image, ULONG Index, LDRP_STRINGS *Strings) {
    if (Index >= Image->SectionCount || Image->Sections[Index].Type != SHT_STRTAB) {
        return LdrpRefuse(Image, "section %u is no string table", Index);
    }
    const ELF_SECTION *Section = &Image->Sections[Index];
    if (Section->Bytes == 0 || Image->File[Section->Offset + Section->Bytes - 1] != 0) {
        return LdrpRefuse(Image, "the string table in section %u has no end", Index);
    }
    Strings->Text = (const CHAR *)Image->File + Section->Offset;
    Strings->Bytes = Section->Bytes;
    return TRUE;
}

static BOOLEAN CheckExtents(PLDRP_IMAGE Image) {
    for (ULONG i = 1; i < Image->SectionCount; i++) {
        const ELF_SECTION *Section = &Image->Sections[i];
        if (Section->Type != SHT_NOBITS && !IsInFile(Image, Section->Offset, Section->Bytes)) {
            return LdrpRefuse(Image, "truncated: section %u lies beyond the end of the file", i);
        }
    }
    return TRUE;
}

/* Checks a section that takes memory. */
static BOOLEAN CheckLoadedSection(PLDRP_IMAGE Image, const ELF_SECTION *Section) {
    PCSTR Name = LdrpSectionName(Image, Section);
    if (Section->Type != SHT_PROGBITS && Section->Type != SHT_NOBITS && Section->Type != SHT_INIT_ARRAY &&
        Section->Type != SHT_NOTE) {
        return LdrpRefuse(Image, "section '%.32s' has type %u, which is not supported", Name, Section->Type);
    }
    if ((Section->Flags & SHF_TLS) != 0) {
        return LdrpRefuse(Image, "section '%.32s' is thread-local data, which is not supported", Name);
    }
    if ((Section->Flags & SHF_WRITE) != 0 && (Section->Flags & SHF_EXECINSTR) != 0) {
        return LdrpRefuse(Image, "section '%.32s' is both writable and executable", Name);
    }
    if ((Section->Alignment & (Section->Alignment - 1)) != 0 || Section->Alignment > PAGE_SIZE) {
        return LdrpRefuse(Image, "section '%.32s' wants alignment %I64u", Name, Section->Alignment);
    }
    if (Section->Type == SHT_INIT_ARRAY && Section->Bytes % sizeof(PVOID) != 0) {
        return LdrpRefuse(Image, "section '%.32s' is no array of pointers", Name);
    }
    return TRUE;
}

static BOOLEAN CheckSymbolTable(PLDRP_IMAGE Image, const ELF_SECTION *Section) {
    if (Image->Symbols != NULL || Section->EntryBytes != sizeof(ELF_SYMBOL) || (Section->Offset & 3) != 0 ||
        Section->Bytes % sizeof(ELF_SYMBOL) != 0 || Section->Bytes / sizeof(ELF_SYMBOL) > MAXULONG) {
        return LdrpRefuse(Image, "damaged symbol table");
    }
    if (!ReadStrings(Image, Section->Link, &Image->SymbolNames)) {
        return FALSE;
    }
    Image->Symbols = (const ELF_SYMBOL *)(Image->File + Section->Offset);
    Image->SymbolCount = (ULONG)(Section->Bytes / sizeof(ELF_SYMBOL));
    return TRUE;
}

static BOOLEAN CheckRelocationTable(PLDRP_IMAGE Image, const ELF_SECTION *Section) {
    if (Section->Type == SHT_REL) {
        return LdrpRefuse(Image, "relocations without addends, which are not of x86-64");
    }
    if (Section->Info >= Image->SectionCount || Section->EntryBytes != sizeof(ELF_RELOCATION) ||
        Section->Bytes % sizeof(ELF_RELOCATION) != 0 || (Section->Offset & 3) != 0) {
        return LdrpRefuse(Image, "damaged relocation table '%.32s'", LdrpSectionName(Image, Section));
    }
    return TRUE;
}

static BOOLEAN CheckSections(PLDRP_IMAGE Image) {
    for (ULONG i = 1; i < Image->SectionCount; i++) {
        const ELF_SECTION *Section = &Image->Sections[i];
        BOOLEAN IsGood = TRUE;
        if (LdrpIsLoaded(Section)) {
            IsGood = CheckLoadedSection(Image, Section);
        } else if (Section->Type == SHT_SYMTAB) {
            IsGood = CheckSymbolTable(Image, Section);
        } else if (Section->Type == SHT_RELA || Section->Type == SHT_REL) {
            IsGood = CheckRelocationTable(Image, Section);
        }
        if (!IsGood) {
            return FALSE;
        }
    }
    return TRUE;
}

static BOOLEAN CheckSymbols(PLDRP_IMAGE Image) {
    if (Image->Symbols == NULL) {
        return LdrpRefuse(Image, "no symbol table");
    }
    for (ULONG i = 0; i < Image->SymbolCount; i++) {
        const ELF_SYMBOL *Symbol = &Image->Symbols[i];
        if (Symbol->Name >= Image->SymbolNames.Bytes) {
            return LdrpRefuse(Image, "symbol %u has no name within the string table", i);
        }
        if (Symbol->Section == SHN_UNDEF || Symbol->Section >= 0xFF00) {
            continue;
        }
        if (Symbol->Section >= Image->SectionCount || Symbol->Value > Image->Sections[Symbol->Section].Bytes) {
            return LdrpRefuse(Image, "symbol '%.64s' lies outside its section", LdrpSymbolName(Image, Symbol));
        }
    }
    return TRUE;
}

/* Any IRQL. FALSE: refused, Image->Reason says why. */
BOOLEAN LdrpParseImage(PLDRP_IMAGE Image) {
    return CheckHeader(Image) && CheckExtents(Image) &&
           ReadStrings(Image, ((const ELF_HEADER *)Image->File)->SectionNames, &Image->SectionNames) &&
           CheckSections(Image) && CheckSymbols(Image);
}

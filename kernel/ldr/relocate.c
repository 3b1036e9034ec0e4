/* relocate.c: binding a module's undefined names to the kernel's exports, and writing the addresses.
 *
 * A relocation (Offset, Type, Symbol, Addend) of a section says: put S + A, or S + A - P, at P = section start +
 * Offset, where S is the symbol's address. Drivers lie within 2 GiB of the kernel, so 32 bits reach everything. */
#include "ldrp.h"
#include <ring.h>

#define R_X86_64_NONE 0
#define R_X86_64_64 1
#define R_X86_64_PC32 2
#define R_X86_64_PLT32 4
#define R_X86_64_32 10
#define R_X86_64_32S 11
#define R_X86_64_PC64 24

#define STB_WEAK 2
#define STT_FUNC 2

/* Any IRQL. NULL: the kernel exports no such name. */
const void *LdrpFindExport(PCSTR Name) {
    ULONG Low = 0, High = LdrExportCount;
    while (Low < High) {
        ULONG Middle = (Low + High) / 2;
        int Order = strcmp(Name, LdrExports[Middle].Name);
        if (Order == 0) {
            return LdrExports[Middle].Address;
        }
        if (Order < 0) {
            High = Middle;
        } else {
            Low = Middle + 1;
        }
    }
    return NULL;
}

/* The address for an import: the export, or for a verified driver the verifier's thunk for it. 0: there is none. */
static ULONG64 BindImport(PLDRP_IMAGE Image, PCSTR Name) {
    const void *Export = LdrpFindExport(Name);
    const void *Thunk = Export != NULL && KeVerifier != NULL ? KeVerifier->BindImport(Image->Name, Name) : NULL;
    return (ULONG64)(Thunk ? Thunk : Export);
}

/* The address of a symbol that a relocation names. FALSE: refused. */
static BOOLEAN ResolveSymbol(PLDRP_IMAGE Image, const ELF_SYMBOL *Symbol, ULONG64 *Address) {
    PCSTR Name = LdrpSymbolName(Image, Symbol);
    if (Symbol->Section == SHN_UNDEF) {
        *Address = BindImport(Image, Name);
        if (*Address == 0 && Symbol->Info >> 4 != STB_WEAK) {
            return LdrpRefuseAs(Image, STATUS_DRIVER_ENTRYPOINT_NOT_FOUND, "unresolved import '%.64s'", Name);
        }
        return TRUE;
    }
    if (Symbol->Section == SHN_ABS) {
        *Address = Symbol->Value;
        return TRUE;
    }
    if (Symbol->Section == SHN_COMMON) {
        return LdrpRefuse(Image, "'%.64s' has no section yet: link with tools/build/mkdriver.py", Name);
    }
    const LDR_SECTION *Section = LdrpPlacedSection(Image->Module, Symbol->Section);
    if (Section == NULL) {
        return LdrpRefuse(Image, "'%.64s' lies in a section that is not loaded", Name);
    }
    *Address = Section->Start + Symbol->Value;
    return TRUE;
}

static ULONG FieldBytes(ULONG Type) {
    switch (Type) {
    case R_X86_64_64:
    case R_X86_64_PC64:
        return 8;
    case R_X86_64_PC32:
    case R_X86_64_PLT32:
    case R_X86_64_32:
    case R_X86_64_32S:
        return 4;
    default:
        return 0;
    }
}

static BOOLEAN FitsField(ULONG Type, ULONG64 Value) {
    switch (Type) {
    case R_X86_64_32:
        return Value == (ULONG)Value;
    case R_X86_64_PC32:
    case R_X86_64_PLT32:
    case R_X86_64_32S:
        return Value == (ULONG64)(LONG64)(LONG)Value;
    default:
        return TRUE;
    }
}

static BOOLEAN ApplyRelocation(PLDRP_IMAGE Image, const LDR_SECTION *Target, const ELF_RELOCATION *Relocation) {
    ULONG Bytes = FieldBytes(Relocation->Type);
    if (Relocation->Type == R_X86_64_NONE) {
        return TRUE;
    }
    if (Bytes == 0) {
        return LdrpRefuse(Image, "relocation type %u in '%s' is not supported: build with -fno-pic -mcmodel=kernel",
                          Relocation->Type, Target->Name);
    }
    if (Target->Bytes < Bytes || Relocation->Offset > Target->Bytes - Bytes) {
        return LdrpRefuse(Image, "a relocation at '%s'+0x%I64x lies outside the section", Target->Name,
                          Relocation->Offset);
    }
    if (Relocation->Symbol >= Image->SymbolCount) {
        return LdrpRefuse(Image, "a relocation at '%s'+0x%I64x names symbol %u of %u", Target->Name, Relocation->Offset,
                          Relocation->Symbol, Image->SymbolCount);
    }
    const ELF_SYMBOL *Symbol = &Image->Symbols[Relocation->Symbol];
    ULONG64 Value, Place = Target->Start + Relocation->Offset;
    if (!ResolveSymbol(Image, Symbol, &Value)) {
        return FALSE;
    }
    Value += (ULONG64)Relocation->Addend;
    if (Relocation->Type == R_X86_64_PC32 || Relocation->Type == R_X86_64_PLT32 || Relocation->Type == R_X86_64_PC64) {
        Value -= Place;
    }
    if (!FitsField(Relocation->Type, Value)) {
        return LdrpRefuse(Image, "'%.64s' is too far away for relocation type %u at '%s'+0x%I64x",
                          LdrpSymbolName(Image, Symbol), Relocation->Type, Target->Name, Relocation->Offset);
    }
    memcpy((PVOID)Place, &Value, Bytes);
    return TRUE;
}

/* PASSIVE, while all sections are writable. FALSE: refused. */
BOOLEAN LdrpRelocateImage(PLDRP_IMAGE Image) {
    for (ULONG i = 1; i < Image->SectionCount; i++) {
        const ELF_SECTION *Section = &Image->Sections[i];
        if (Section->Type != SHT_RELA || LdrpIsLoaded(Section)) {
            continue;
        }
        const LDR_SECTION *Target = LdrpPlacedSection(Image->Module, Section->Info);
        if (Target == NULL) {
            continue; /* of debug information */
        }
        if (Image->Sections[Section->Info].Type == SHT_NOBITS) {
            return LdrpRefuse(Image, "'%s' has no bytes in the file, but relocations", Target->Name);
        }
        const ELF_RELOCATION *Relocation = (const ELF_RELOCATION *)(Image->File + Section->Offset);
        for (ULONG64 Count = Section->Bytes / sizeof(ELF_RELOCATION); Count != 0; Count--, Relocation++) {
            if (!ApplyRelocation(Image, Target, Relocation)) {
                return FALSE;
            }
        }
    }
    return TRUE;
}

/* Any IRQL. Sets Module->EntryPoint; FALSE: refused. */
BOOLEAN LdrpFindEntryPoint(PLDRP_IMAGE Image) {
    for (ULONG i = 0; i < Image->SymbolCount; i++) {
        const ELF_SYMBOL *Symbol = &Image->Symbols[i];
        const LDR_SECTION *Section = LdrpPlacedSection(Image->Module, Symbol->Section);
        if (Section != NULL && Section->IsExecutable && (Symbol->Info & 15) == STT_FUNC &&
            Symbol->Value < Section->Bytes && strcmp(LdrpSymbolName(Image, Symbol), "DriverEntry") == 0) {
            Image->Module->EntryPoint = (PVOID)(Section->Start + Symbol->Value);
            return TRUE;
        }
    }
    return LdrpRefuseAs(Image, STATUS_DRIVER_ENTRYPOINT_NOT_FOUND,
                        "no function DriverEntry (in C++ it must be extern \"C\")");
}

/* PASSIVE, after relocation: whether each constructor of static C++ objects is code of this module. */
BOOLEAN LdrpCheckInitializers(PLDRP_IMAGE Image) {
    for (ULONG i = 0; i < Image->Module->SectionCount; i++) {
        const LDR_SECTION *Placed = &Image->Module->Section[i];
        if (Image->Sections[Placed->ElfIndex].Type != SHT_INIT_ARRAY) {
            continue;
        }
        if ((Placed->Start & (sizeof(ULONG64) - 1)) != 0) {
            return LdrpRefuse(Image, "'%s' is not aligned", Placed->Name);
        }
        const ULONG64 *Initializers = (const ULONG64 *)Placed->Start;
        for (SIZE_T n = 0; n < Placed->Bytes / sizeof(ULONG64); n++) {
            const LDR_SECTION *Code = LdrFindSection(Image->Module, Initializers[n]);
            if (Code == NULL || !Code->IsExecutable) {
                return LdrpRefuse(Image, "initializer %zu of '%s' is no code of the module", n, Placed->Name);
            }
        }
    }
    return TRUE;
}

/* ldrp.h: declarations shared by the files of ldr/: ELF64, and a module on its way into memory.
 *
 * A module passes four stages, each in its own file; each may refuse it with LdrpRefuse, and then all is undone:
 *   elf.c       the file's tables are inside it, and this kernel supports them
 *   layout.c    its sections get addresses, grouped by protection, and their bytes
 *   relocate.c  undefined symbols are bound to exports, relocations applied
 *   load.c      protections set, PAGE sections pushed out, DriverEntry called on a worker thread */
#ifndef _LDRP_H_
#define _LDRP_H_

#include <ldr.h>

#define SHT_PROGBITS 1
#define SHT_SYMTAB 2
#define SHT_STRTAB 3
#define SHT_RELA 4
#define SHT_NOTE 7
#define SHT_NOBITS 8
#define SHT_REL 9
#define SHT_INIT_ARRAY 14

#define SHF_WRITE 0x1
#define SHF_ALLOC 0x2
#define SHF_EXECINSTR 0x4
#define SHF_TLS 0x400

#define SHN_UNDEF 0
#define SHN_ABS 0xFFF1
#define SHN_COMMON 0xFFF2

/* Files of a cpio archive start at multiples of 4 only. */
#define ELF_STRUCTURE __attribute__((packed, aligned(4)))

typedef struct ELF_STRUCTURE _ELF_HEADER {
    UCHAR Ident[16];
    USHORT Type, Machine;
    ULONG Version;
    ULONG64 Entry, ProgramOffset, SectionOffset;
    ULONG Flags;
    USHORT HeaderBytes, ProgramEntryBytes, ProgramCount, SectionEntryBytes, SectionCount, SectionNames;
} ELF_HEADER;
C_ASSERT(sizeof(ELF_HEADER) == 64);

typedef struct ELF_STRUCTURE _ELF_SECTION {
    ULONG Name, Type;
    ULONG64 Flags, Address, Offset, Bytes;
    ULONG Link, Info;
    ULONG64 Alignment, EntryBytes;
} ELF_SECTION;
C_ASSERT(sizeof(ELF_SECTION) == 64);

typedef struct ELF_STRUCTURE _ELF_SYMBOL {
    ULONG Name;
    UCHAR Info, Other;
    USHORT Section;
    ULONG64 Value, Bytes;
} ELF_SYMBOL;
C_ASSERT(sizeof(ELF_SYMBOL) == 24);

typedef struct ELF_STRUCTURE _ELF_RELOCATION {
    ULONG64 Offset;
    ULONG Type, Symbol;
    LONG64 Addend;
} ELF_RELOCATION;
C_ASSERT(sizeof(ELF_RELOCATION) == 24);

typedef struct _LDRP_STRINGS {
    const CHAR *Text; /* ends with a 0 byte */
    SIZE_T Bytes;
} LDRP_STRINGS;

typedef struct _LDRP_IMAGE {
    PCSTR Name; /* "secret" */
    const UCHAR *File;
    SIZE_T FileBytes;
    const ELF_SECTION *Sections;
    ULONG SectionCount;
    LDRP_STRINGS SectionNames;
    const ELF_SYMBOL *Symbols;
    ULONG SymbolCount;
    LDRP_STRINGS SymbolNames;
    PKLDR_DATA_TABLE_ENTRY Module;
    ULONG64 InitStart; /* sections that go away after DriverEntry: the end of the image */
    SIZE_T InitBytes;
    NTSTATUS Status;
    CHAR Reason[160];
} LDRP_IMAGE, *PLDRP_IMAGE;

/* elf.c: needs no memory and trusts nothing. */
/* Keeps the status, and the reason to be printed; always FALSE, to be returned. Any IRQL. */
BOOLEAN LdrpRefuse(PLDRP_IMAGE Image, PCSTR Format, ...); /* as a bad image */
BOOLEAN LdrpRefuseAs(PLDRP_IMAGE Image, NTSTATUS Status, PCSTR Format, ...);
BOOLEAN LdrpParseImage(PLDRP_IMAGE Image);
PCSTR LdrpSectionName(const LDRP_IMAGE *Image, const ELF_SECTION *Section);
PCSTR LdrpSymbolName(const LDRP_IMAGE *Image, const ELF_SYMBOL *Symbol);
BOOLEAN LdrpIsLoaded(const ELF_SECTION *Section); /* takes memory */

/* layout.c: PASSIVE. */
BOOLEAN LdrpPlaceSections(PLDRP_IMAGE Image); /* reserves, populates, copies; all read-write */
VOID LdrpProtectSections(PLDRP_IMAGE Image);  /* text RX, constants R, data RW; pageable sections out */
VOID LdrpDiscardInit(PLDRP_IMAGE Image);
LDR_SECTION *LdrpPlacedSection(PKLDR_DATA_TABLE_ENTRY Module, ULONG ElfIndex); /* NULL: takes no memory */

/* relocate.c: PASSIVE. */
const void *LdrpFindExport(PCSTR Name);
BOOLEAN LdrpRelocateImage(PLDRP_IMAGE Image);
BOOLEAN LdrpFindEntryPoint(PLDRP_IMAGE Image);
BOOLEAN LdrpCheckInitializers(PLDRP_IMAGE Image);

/* module.c */
VOID LdrpInsertModule(PKLDR_DATA_TABLE_ENTRY Module);
VOID LdrpRetireModule(PKLDR_DATA_TABLE_ENTRY Module); /* out of the list, into the ring of unloaded ones */
PKLDR_DATA_TABLE_ENTRY LdrpFindModuleByName(PCSTR Name);
BOOLEAN LdrpFindFile(PCSTR Folder, PCSTR Name, PCSTR Extension, const void **Data, SIZE_T *Bytes);

VOID LdrpFindSymbols(PKLDR_DATA_TABLE_ENTRY Module, PCSTR FileName);
BOOLEAN LdrpNextArchiveFile(SIZE_T *Offset, PCSTR *Path); /* *Offset starts at 0. Any IRQL. FALSE: no more */

/* load.c */
VOID LdrpInitializeLoading(VOID);

/* unload.c: PASSIVE, on a worker thread. */
NTSTATUS LdrpUnloadDriver(PDRIVER_OBJECT DriverObject);
VOID LdrpRemoveModule(PKLDR_DATA_TABLE_ENTRY Module); /* no code of it runs any more */

#define LOADER_TAG 'rdLM'

#endif

/* layout.c: addresses for a module's sections: those of one protection share pages, others never do.
 *
 *   DllBase  code              read, execute
 *            constants         read
 *            data              read, write        (.data, .bss)
 *            PAGE* code, constants, data          the same protections, pageable
 *            INIT*             any                at the end: unmapped after DriverEntry
 * A section whose name starts with PAGE is pageable, one whose name starts with INIT is discarded; on Windows too. */
#include "ldrp.h"
#include <mm.h>
#include <rtl.h>

#define MAXIMUM_IMAGE_BYTES 0x1000000

enum { IS_EXECUTABLE = 1, IS_WRITABLE = 2, IS_PAGEABLE = 4, IS_INIT = 8 };

/* The order of the groups in memory. */
typedef struct _LAYOUT_GROUP {
    ULONG Kind;
    ULONG Protection;
} LAYOUT_GROUP;

static const LAYOUT_GROUP Groups[] = {
    {IS_EXECUTABLE, MM_EXECUTE_READ},
    {0, MM_READONLY},
    {IS_WRITABLE, MM_READWRITE},
    {IS_PAGEABLE | IS_EXECUTABLE, MM_EXECUTE_READ},
    {IS_PAGEABLE, MM_READONLY},
    {IS_PAGEABLE | IS_WRITABLE, MM_READWRITE},
    {IS_INIT | IS_EXECUTABLE, MM_EXECUTE_READ},
    {IS_INIT, MM_READONLY},
    {IS_INIT | IS_WRITABLE, MM_READWRITE},
};

static ULONG SectionKind(const LDRP_IMAGE *Image, const ELF_SECTION *Section) {
    PCSTR Name = LdrpSectionName(Image, Section);
    ULONG Kind = (Section->Flags & SHF_EXECINSTR ? IS_EXECUTABLE : 0) | (Section->Flags & SHF_WRITE ? IS_WRITABLE : 0);
    if (strncmp(Name, "PAGE", 4) == 0) {
        Kind |= IS_PAGEABLE;
    } else if (strncmp(Name, "INIT", 4) == 0) {
        Kind |= IS_INIT;
    }
    return Kind;
}

LDR_SECTION *LdrpPlacedSection(PKLDR_DATA_TABLE_ENTRY Module, ULONG ElfIndex) {
    for (ULONG i = 0; i < Module->SectionCount; i++) {
        if (Module->Section[i].ElfIndex == ElfIndex) {
            return &Module->Section[i];
        }
    }
    return NULL;
}

/* Lays the sections of one group behind *End, which is at a page boundary before and after. Start is still an offset. */
static BOOLEAN PlaceGroup(PLDRP_IMAGE Image, ULONG Kind, ULONG64 *End) {
    PKLDR_DATA_TABLE_ENTRY Module = Image->Module;
    for (ULONG i = 1; i < Image->SectionCount; i++) {
        const ELF_SECTION *Section = &Image->Sections[i];
        if (!LdrpIsLoaded(Section) || SectionKind(Image, Section) != Kind) {
            continue;
        }
        if (Module->SectionCount == LDR_MAXIMUM_SECTIONS) {
            return LdrpRefuse(Image, "more than %u sections", LDR_MAXIMUM_SECTIONS);
        }
        ULONG64 Alignment = Section->Alignment == 0 ? 1 : Section->Alignment;
        ULONG64 Start = (*End + Alignment - 1) & ~(Alignment - 1);
        if (Section->Bytes > MAXIMUM_IMAGE_BYTES || Start + Section->Bytes > MAXIMUM_IMAGE_BYTES) {
            return LdrpRefuse(Image, "larger than %u MiB", MAXIMUM_IMAGE_BYTES >> 20);
        }
        LDR_SECTION *Placed = &Module->Section[Module->SectionCount++];
        Placed->Start = Start;
        Placed->Bytes = Section->Bytes;
        Placed->ElfIndex = i;
        Placed->IsPageable = (Kind & IS_PAGEABLE) != 0;
        Placed->IsExecutable = (Kind & IS_EXECUTABLE) != 0;
        Placed->IsWritable = (Kind & IS_WRITABLE) != 0;
        RtlFormat(Placed->Name, sizeof(Placed->Name), "%s", LdrpSectionName(Image, Section));
        *End = Start + Section->Bytes;
    }
    *End = ROUND_TO_PAGES(*End);
    return TRUE;
}

/* A group's extent, from its sections; Bytes is 0 when it has none. After PlaceGroup, or later with addresses. */
static VOID GroupExtent(const LDRP_IMAGE *Image, ULONG Kind, ULONG64 *Start, SIZE_T *Bytes) {
    PKLDR_DATA_TABLE_ENTRY Module = Image->Module;
    ULONG64 First = ~0ULL, End = 0;
    for (ULONG i = 0; i < Module->SectionCount; i++) {
        const LDR_SECTION *Placed = &Module->Section[i];
        if (SectionKind(Image, &Image->Sections[Placed->ElfIndex]) == Kind && Placed->Bytes != 0) {
            First = Placed->Start < First ? Placed->Start : First;
            End = Placed->Start + Placed->Bytes > End ? Placed->Start + Placed->Bytes : End;
        }
    }
    *Start = First == ~0ULL ? 0 : First & ~(ULONG64)(PAGE_SIZE - 1);
    *Bytes = First == ~0ULL ? 0 : ROUND_TO_PAGES(End) - *Start;
}

static BOOLEAN PopulateGroups(PLDRP_IMAGE Image) {
    for (ULONG i = 0; i < RTL_NUMBER_OF(Groups); i++) {
        ULONG64 Start;
        SIZE_T Bytes;
        GroupExtent(Image, Groups[i].Kind, &Start, &Bytes);
        if (Bytes != 0 && !NT_SUCCESS(MmPopulateImage((PVOID)Start, Bytes, (Groups[i].Kind & IS_PAGEABLE) != 0))) {
            return LdrpRefuseAs(Image, STATUS_INSUFFICIENT_RESOURCES, "no memory for %zu bytes", Bytes);
        }
    }
    return TRUE;
}

static VOID CopySections(PLDRP_IMAGE Image) {
    PKLDR_DATA_TABLE_ENTRY Module = Image->Module;
    for (ULONG i = 0; i < Module->SectionCount; i++) {
        LDR_SECTION *Placed = &Module->Section[i];
        const ELF_SECTION *Section = &Image->Sections[Placed->ElfIndex];
        if (Section->Type == SHT_NOBITS) {
            memset((PVOID)Placed->Start, 0, Placed->Bytes);
        } else {
            memcpy((PVOID)Placed->Start, Image->File + Section->Offset, Placed->Bytes);
        }
    }
}

/* PASSIVE. On success the whole image is mapped read-write. On failure the caller releases Module->DllBase, if any. */
BOOLEAN LdrpPlaceSections(PLDRP_IMAGE Image) {
    PKLDR_DATA_TABLE_ENTRY Module = Image->Module;
    ULONG64 End = 0;
    for (ULONG i = 0; i < RTL_NUMBER_OF(Groups); i++) {
        if (Groups[i].Kind == (IS_INIT | IS_EXECUTABLE)) {
            Image->InitStart = End;
        }
        if (!PlaceGroup(Image, Groups[i].Kind, &End)) {
            return FALSE;
        }
    }
    if (End == 0) {
        return LdrpRefuse(Image, "no code");
    }
    Module->DllBase = MmReserveDriverImage(End);
    if (Module->DllBase == NULL) {
        return LdrpRefuseAs(Image, STATUS_INSUFFICIENT_RESOURCES, "no address space for %I64u bytes", End);
    }
    Module->SizeOfImage = (ULONG)End;
    for (ULONG i = 0; i < Module->SectionCount; i++) {
        Module->Section[i].Start += (ULONG64)Module->DllBase;
    }
    Image->InitBytes = End - Image->InitStart;
    Image->InitStart += (ULONG64)Module->DllBase;
    if (!PopulateGroups(Image)) {
        return FALSE;
    }
    CopySections(Image);
    return TRUE;
}

/* PASSIVE, after relocation. Pageable sections start non-resident: the first touch at DISPATCH_LEVEL shows the bug. */
VOID LdrpProtectSections(PLDRP_IMAGE Image) {
    for (ULONG i = 0; i < RTL_NUMBER_OF(Groups); i++) {
        ULONG64 Start;
        SIZE_T Bytes;
        GroupExtent(Image, Groups[i].Kind, &Start, &Bytes);
        if (Bytes == 0) {
            continue;
        }
        MmProtectImage((PVOID)Start, Bytes, Groups[i].Protection);
        if ((Groups[i].Kind & IS_PAGEABLE) != 0) {
            MmTrimRange((PVOID)Start, Bytes);
        }
    }
}

/* PASSIVE, after DriverEntry: INIT code and data go; their addresses stay the driver's, and a late call faults. */
VOID LdrpDiscardInit(PLDRP_IMAGE Image) {
    for (ULONG i = 0; i < Image->Module->SectionCount; i++) {
        LDR_SECTION *Section = &Image->Module->Section[i];
        if (Section->Start >= Image->InitStart) {
            Section->Start = 0;
            Section->Bytes = 0;
        }
    }
    MmDiscardImage((PVOID)Image->InitStart, Image->InitBytes);
}

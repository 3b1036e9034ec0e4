/* bootinfo.c: the report of GRUB (multiboot2) or QEMU (PVH), turned into one BOOT_INFO for the kernel.
 *
 * The report lies in memory that is free as soon as the memory manager starts, so all that outlives it is copied. */
#include <arch.h>
#include <bootinfo.h>
#include <mm.h>

#define MULTIBOOT2_MAGIC 0x36D76289
#define PVH_MAGIC 0x336EC578

#define ONE_MIB 0x100000ULL
#define MEMORY_AVAILABLE 1 /* the same number in both protocols, from the BIOS call E820 */
#define TRAMPOLINE_LOWEST 0x1000ULL
#define TRAMPOLINE_HIGHEST 0x9F000ULL

extern UCHAR BootStart[], KernelImageEnd[]; /* kernel.ld: the first is physical */

/* ---- Both protocols ---- */

/* RAM below 1 MiB is not given to the memory manager; one page of it starts the other CPUs. */
static BOOT_MEMORY_RANGE LowRam[8];
static ULONG LowRamCount;

/* Adds whole pages of RAM, in any order. A map with more rows than we can hold loses the last ones. */
static VOID AddRange(PBOOT_INFO BootInfo, ULONG64 Base, ULONG64 Bytes) {
    ULONG64 End = (Base + Bytes < Base ? ~0ULL : Base + Bytes) & ~(ULONG64)(PAGE_SIZE - 1);
    Base = ROUND_TO_PAGES(Base);
    if (Base < ONE_MIB && Base < End && LowRamCount < RTL_NUMBER_OF(LowRam)) {
        LowRam[LowRamCount++] = (BOOT_MEMORY_RANGE){Base, End - Base};
    }
    Base = Base < ONE_MIB ? ONE_MIB : Base;
    if (Base < End && BootInfo->RangeCount < BOOT_MAXIMUM_RANGES) {
        BootInfo->Range[BootInfo->RangeCount++] = (BOOT_MEMORY_RANGE){Base, End - Base};
    }
}

static VOID SortRanges(PBOOT_INFO BootInfo) {
    for (ULONG Row = 1; Row < BootInfo->RangeCount; Row++) {
        BOOT_MEMORY_RANGE Range = BootInfo->Range[Row];
        ULONG Place = Row;
        for (; Place > 0 && BootInfo->Range[Place - 1].Base > Range.Base; Place--) {
            BootInfo->Range[Place] = BootInfo->Range[Place - 1];
        }
        BootInfo->Range[Place] = Range;
    }
}

/* The highest low page that is RAM and not part of the archive, which a UEFI loader may have put there; 0: none. */
static ULONG64 FindTrampoline(const BOOT_INFO *BootInfo) {
    for (ULONG64 Page = TRAMPOLINE_HIGHEST; Page >= TRAMPOLINE_LOWEST; Page -= PAGE_SIZE) {
        if (Page + PAGE_SIZE > BootInfo->ArchiveBase && Page < BootInfo->ArchiveBase + BootInfo->ArchiveBytes) {
            continue;
        }
        for (ULONG Row = 0; Row < LowRamCount; Row++) {
            if (Page >= LowRam[Row].Base && Page + PAGE_SIZE <= LowRam[Row].Base + LowRam[Row].Bytes) {
                return Page;
            }
        }
    }
    return 0;
}

/* Sorted ranges become ranges that neither touch nor overlap. */
static VOID MergeRanges(PBOOT_INFO BootInfo) {
    ULONG Kept = 0;
    for (ULONG Row = 1; Row < BootInfo->RangeCount; Row++) {
        BOOT_MEMORY_RANGE *Last = &BootInfo->Range[Kept], *Next = &BootInfo->Range[Row];
        ULONG64 LastEnd = Last->Base + Last->Bytes, NextEnd = Next->Base + Next->Bytes;
        if (LastEnd >= Next->Base) {
            Last->Bytes = (NextEnd > LastEnd ? NextEnd : LastEnd) - Last->Base;
        } else {
            BootInfo->Range[++Kept] = *Next;
        }
    }
    BootInfo->RangeCount = BootInfo->RangeCount != 0 ? Kept + 1 : 0;
    for (ULONG Row = 0; Row < BootInfo->RangeCount; Row++) {
        BootInfo->TotalRam += BootInfo->Range[Row].Bytes;
        BootInfo->HighestRam = BootInfo->Range[Row].Base + BootInfo->Range[Row].Bytes;
    }
}

static VOID CopyCommandLine(PBOOT_INFO BootInfo, PCSTR Text, SIZE_T MaximumBytes) {
    SIZE_T Length = 0;
    while (Length < sizeof(BootInfo->CommandLine) - 1 && Length < MaximumBytes && Text[Length] != 0) {
        BootInfo->CommandLine[Length] = Text[Length];
        Length++;
    }
    BootInfo->CommandLine[Length] = 0;
}

/* ---- multiboot2: a list of tags, each 8-byte aligned (Multiboot2 Specification, "Boot information format") ---- */
enum {
    TagEnd = 0,
    TagCommandLine = 1,
    TagModule = 3,
    TagMemoryMap = 6,
    TagFramebuffer = 8,
    TagAcpiOld = 14,
    TagAcpiNew = 15
};

typedef struct _MULTIBOOT_TAG {
    ULONG Type, Bytes;
    union {
        CHAR Text[1];
        UCHAR Data[1];
        struct {
            ULONG Start, End;
        } Module;
        struct {
            ULONG EntryBytes, EntryVersion;
        } MemoryMap;
        struct {
            ULONG64 Base;
            ULONG Pitch, Width, Height;
            UCHAR BitsPerPixel, Type;
        } __attribute__((packed)) Framebuffer;
    };
} __attribute__((packed)) MULTIBOOT_TAG;
#define TAG_HEADER_BYTES 8

#define FIRMWARE_ALIGNED __attribute__((packed, aligned(4))) /* QEMU's small firmware puts these at any multiple of 4 */

typedef struct _MEMORY_MAP_ENTRY { /* multiboot2 and PVH agree on this, too */
    ULONG64 Base, Bytes;
    ULONG Type, Reserved;
} FIRMWARE_ALIGNED MEMORY_MAP_ENTRY;

/* ACPI's root pointer comes inside the tag, which will be overwritten: kept here, in the kernel's image. */
static UCHAR RsdpCopy[36];

static VOID ReadMemoryMapTag(PBOOT_INFO BootInfo, const MULTIBOOT_TAG *Tag) {
    ULONG EntryBytes = Tag->MemoryMap.EntryBytes;
    if (EntryBytes < sizeof(MEMORY_MAP_ENTRY)) {
        return;
    }
    for (ULONG Offset = TAG_HEADER_BYTES + 8; Offset + EntryBytes <= Tag->Bytes; Offset += EntryBytes) {
        const MEMORY_MAP_ENTRY *Entry = (const MEMORY_MAP_ENTRY *)((const UCHAR *)Tag + Offset);
        if (Entry->Type == MEMORY_AVAILABLE) {
            AddRange(BootInfo, Entry->Base, Entry->Bytes);
        }
    }
}

static VOID ReadFramebufferTag(PBOOT_INFO BootInfo, const MULTIBOOT_TAG *Tag) {
    if (Tag->Framebuffer.Type == 1 && Tag->Framebuffer.BitsPerPixel == 32) { /* direct colour */
        BootInfo->FramebufferBase = Tag->Framebuffer.Base;
        BootInfo->FramebufferWidth = Tag->Framebuffer.Width;
        BootInfo->FramebufferHeight = Tag->Framebuffer.Height;
        BootInfo->FramebufferPitch = Tag->Framebuffer.Pitch;
    }
}

static VOID ReadRsdpTag(PBOOT_INFO BootInfo, const MULTIBOOT_TAG *Tag) {
    if (BootInfo->Rsdp != 0 && Tag->Type == TagAcpiOld) {
        return; /* the new form was there first */
    }
    SIZE_T Bytes = Tag->Bytes - TAG_HEADER_BYTES;
    memset(RsdpCopy, 0, sizeof(RsdpCopy));
    memcpy(RsdpCopy, Tag->Data, Bytes < sizeof(RsdpCopy) ? Bytes : sizeof(RsdpCopy));
    BootInfo->Rsdp = (ULONG64)RsdpCopy - MM_KERNEL_BASE;
}

static VOID ReadTag(PBOOT_INFO BootInfo, const MULTIBOOT_TAG *Tag) {
    switch (Tag->Type) {
    case TagCommandLine:
        CopyCommandLine(BootInfo, Tag->Text, Tag->Bytes - TAG_HEADER_BYTES);
        break;
    case TagModule:
        if (BootInfo->ArchiveBase == 0 && Tag->Module.End > Tag->Module.Start) {
            BootInfo->ArchiveBase = Tag->Module.Start;
            BootInfo->ArchiveBytes = Tag->Module.End - Tag->Module.Start;
        }
        break;
    case TagMemoryMap:
        ReadMemoryMapTag(BootInfo, Tag);
        break;
    case TagFramebuffer:
        ReadFramebufferTag(BootInfo, Tag);
        break;
    case TagAcpiOld:
    case TagAcpiNew:
        ReadRsdpTag(BootInfo, Tag);
        break;
    default:
        break;
    }
}

static VOID ReadMultiboot2(ULONG64 Info, PBOOT_INFO BootInfo) {
    BootInfo->Protocol = "multiboot2";
    ULONG TotalBytes = *(const ULONG *)Info;
    for (ULONG Offset = 8; Offset + TAG_HEADER_BYTES <= TotalBytes;) {
        const MULTIBOOT_TAG *Tag = (const MULTIBOOT_TAG *)(Info + Offset);
        if (Tag->Type == TagEnd || Tag->Bytes < TAG_HEADER_BYTES || Tag->Bytes > TotalBytes - Offset) {
            break;
        }
        ReadTag(BootInfo, Tag);
        Offset += (Tag->Bytes + 7) & ~7U;
    }
}

/* ---- PVH (Xen's x86/HVM direct boot ABI, "hvm_start_info") ---- */
typedef struct _PVH_START_INFO {
    ULONG Magic, Version, Flags, ModuleCount;
    ULONG64 Modules, CommandLine, Rsdp;
    ULONG64 MemoryMap; /* from version 1 on */
    ULONG MemoryMapCount, Reserved;
} FIRMWARE_ALIGNED PVH_START_INFO;

typedef struct _PVH_MODULE {
    ULONG64 Base, Bytes, CommandLine, Reserved;
} FIRMWARE_ALIGNED PVH_MODULE;

static VOID ReadPvh(ULONG64 Info, PBOOT_INFO BootInfo) {
    const PVH_START_INFO *Start = (const PVH_START_INFO *)Info;
    BootInfo->Protocol = "PVH";
    BootInfo->Rsdp = Start->Rsdp;
    if (Start->CommandLine != 0) {
        CopyCommandLine(BootInfo, (PCSTR)Start->CommandLine, sizeof(BootInfo->CommandLine));
    }
    if (Start->ModuleCount != 0) {
        const PVH_MODULE *Module = (const PVH_MODULE *)Start->Modules;
        BootInfo->ArchiveBase = Module->Base;
        BootInfo->ArchiveBytes = Module->Bytes;
    }
    const MEMORY_MAP_ENTRY *Map = (const MEMORY_MAP_ENTRY *)Start->MemoryMap;
    for (ULONG Row = 0; Start->Version >= 1 && Row < Start->MemoryMapCount; Row++) {
        if (Map[Row].Type == MEMORY_AVAILABLE) {
            AddRange(BootInfo, Map[Row].Base, Map[Row].Bytes);
        }
    }
}

VOID BootReadInformation(ULONG Magic, ULONG64 Info, PBOOT_INFO BootInfo) {
    memset(BootInfo, 0, sizeof(*BootInfo));
    BootInfo->KernelBase = (ULONG64)BootStart;
    BootInfo->KernelEnd = (ULONG64)KernelImageEnd - MM_KERNEL_BASE;
    if (Magic == MULTIBOOT2_MAGIC) {
        ReadMultiboot2(Info, BootInfo);
    } else if (Magic == PVH_MAGIC) {
        ReadPvh(Info, BootInfo);
    } else {
        BootStop(BootInfo, "Bugcheck was started neither by multiboot2 nor by PVH.");
    }
    SortRanges(BootInfo);
    MergeRanges(BootInfo);
    BootInfo->Trampoline = FindTrampoline(BootInfo);
    if (BootInfo->TotalRam < BOOT_MINIMUM_RAM) {
        BootStop(BootInfo, "Bugcheck needs 16 MiB of RAM: this machine has less.");
    }
}

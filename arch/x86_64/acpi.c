/* acpi.c: the firmware's tables: CPUs, I/O APICs, ISA overrides, PM timer, power button.
 *
 * Firmware tables are input like any other: every length is checked before it is believed, a table with a wrong
 * checksum is not used, and fields are copied byte by byte, because nothing in them is aligned. */
#include "hal.h"
#include <bootinfo.h>
#include <kd.h>
#include <mm.h>

#define BIOS_AREA_START 0xE0000
#define BIOS_AREA_END 0x100000
#define EBDA_SEGMENT_POINTER 0x40E
#define MAXIMUM_TABLE_BYTES 0x100000
#define RSDP_BYTES_1 20 /* revision 0; its checksum covers no more */
#define RSDP_BYTES_2 36

HAL_MACHINE HalpMachine;

/* Offsets in the tables; ACPI Specification, "ACPI Software Programming Model". */
enum { RsdpRevision = 15, RsdpRsdt = 16, RsdpXsdt = 24 };
enum { TableLength = 4, TableHeaderBytes = 36 };
enum { MadtLocalApic = 36, MadtEntries = 44 };
enum { FadtPm1EventBlock = 56, FadtPmTimerBlock = 76, FadtPm1EventBytes = 88, FadtPmTimerBytes = 91, FadtFlags = 112 };
#define FADT_BUTTON_IS_A_DEVICE (1u << 4) /* of the AML namespace, not a bit of the PM1 event registers */
#define FADT_PM_TIMER_IS_32_BITS (1u << 8)

static ULONG Read32(const UCHAR *Bytes) {
    return (ULONG)Bytes[0] | (ULONG)Bytes[1] << 8 | (ULONG)Bytes[2] << 16 | (ULONG)Bytes[3] << 24;
}

static ULONG64 Read64(const UCHAR *Bytes) {
    return Read32(Bytes) | (ULONG64)Read32(Bytes + 4) << 32;
}

static BOOLEAN SumsToZero(const UCHAR *Bytes, ULONG Count) {
    UCHAR Sum = 0;
    for (ULONG i = 0; i < Count; i++) {
        Sum = (UCHAR)(Sum + Bytes[i]);
    }
    return Sum == 0;
}

/* Tables above the identity map are rare and few: their mappings are kept. NULL when there is no room. */
static const UCHAR *MapTable(ULONG64 Physical, ULONG Bytes) {
    if (Physical + Bytes < Physical) {
        return NULL;
    }
    if (Physical + Bytes <= IDENTITY_MAP_END) {
        return (const UCHAR *)Physical;
    }
    return MmMapIoSpace((PHYSICAL_ADDRESS){.QuadPart = (LONGLONG)Physical}, Bytes, MmCached);
}

/* The whole table, or NULL with a message if it is damaged. */
static const UCHAR *OpenTable(ULONG64 Physical, ULONG *Bytes) {
    const UCHAR *Header = Physical != 0 ? MapTable(Physical, TableHeaderBytes) : NULL;
    if (Header == NULL) {
        return NULL;
    }
    *Bytes = Read32(Header + TableLength);
    const UCHAR *Table = NULL;
    if (*Bytes >= TableHeaderBytes && *Bytes <= MAXIMUM_TABLE_BYTES) {
        Table = MapTable(Physical, *Bytes);
    }
    if (Table == NULL || !SumsToZero(Table, *Bytes)) {
        KdPrintf("acpi: table %.4s at 0x%llx is damaged and not used\n", (PCSTR)Header, Physical);
        return NULL;
    }
    return Table;
}

/* ---- The root ---- */

static BOOLEAN IsRsdp(const UCHAR *Bytes) {
    return memcmp(Bytes, "RSD PTR ", 8) == 0 && SumsToZero(Bytes, RSDP_BYTES_1) &&
           (Bytes[RsdpRevision] < 2 || SumsToZero(Bytes, RSDP_BYTES_2));
}

static const UCHAR *SearchRsdp(ULONG64 Start, ULONG64 End) {
    for (ULONG64 Place = Start; Place + RSDP_BYTES_2 <= End; Place += 16) {
        if (IsRsdp((const UCHAR *)Place)) {
            return (const UCHAR *)Place;
        }
    }
    return NULL;
}

/* A word of the BIOS data area, below the first page's end, where a compiler sees only null pointers. */
static USHORT ReadBiosWord(ULONG64 Address) {
    USHORT Value;
    __asm__ volatile("movw (%1), %0" : "=r"(Value) : "r"(Address) : "memory");
    return Value;
}

/* The boot protocol's pointer, or else a search of the places where a BIOS leaves it. */
static const UCHAR *FindRsdp(ULONG64 Rsdp) {
    if (Rsdp != 0) {
        const UCHAR *Bytes = MapTable(Rsdp, RSDP_BYTES_2);
        if (Bytes != NULL && IsRsdp(Bytes)) {
            return Bytes;
        }
    }
    ULONG64 Ebda = (ULONG64)ReadBiosWord(EBDA_SEGMENT_POINTER) << 4;
    const UCHAR *Found = Ebda >= 0x80000 && Ebda < 0xA0000 ? SearchRsdp(Ebda, Ebda + 1024) : NULL;
    return Found ? Found : SearchRsdp(BIOS_AREA_START, BIOS_AREA_END);
}

/* ---- MADT: "Multiple APIC Description Table" ---- */
enum { EntryLocalApic = 0, EntryIoApic = 1, EntryOverride = 2, EntryLocalApicAddress = 5, EntryLocalX2Apic = 9 };
#define PROCESSOR_ENABLED 1u
#define OVERRIDE_POLARITY(Flags) ((Flags) & 3)     /* 3: active low */
#define OVERRIDE_TRIGGER(Flags) ((Flags) >> 2 & 3) /* 3: level */

static VOID AddProcessor(ULONG ApicId, ULONG Flags) {
    if (!(Flags & PROCESSOR_ENABLED)) {
        return;
    }
    for (ULONG i = 0; i < HalpMachine.ProcessorCount; i++) {
        if (HalpMachine.ApicId[i] == ApicId) {
            return; /* listed as an APIC and as an x2APIC */
        }
    }
    if (HalpMachine.ProcessorCount == MAXIMUM_PROCESSORS) {
        KdPrintf("acpi: a CPU beyond the %uth is left out (APIC id %u)\n", MAXIMUM_PROCESSORS, ApicId);
        return;
    }
    HalpMachine.ApicId[HalpMachine.ProcessorCount++] = ApicId;
}

static VOID AddIoApic(ULONG Base, ULONG FirstInterrupt) {
    if (HalpMachine.IoApicCount < MAXIMUM_IO_APICS) {
        HalpMachine.IoApic[HalpMachine.IoApicCount].Base = Base;
        HalpMachine.IoApic[HalpMachine.IoApicCount].FirstInterrupt = FirstInterrupt;
        HalpMachine.IoApicCount++;
    }
}

static VOID AddOverride(UCHAR Source, ULONG GlobalInterrupt, ULONG Flags) {
    if (Source < ISA_INTERRUPTS) {
        HalpMachine.Isa[Source].GlobalInterrupt = GlobalInterrupt;
        HalpMachine.Isa[Source].IsActiveLow = OVERRIDE_POLARITY(Flags) == 3;
        HalpMachine.Isa[Source].IsLevel = OVERRIDE_TRIGGER(Flags) == 3;
    }
}

/* Entry[0] is the type, Entry[1] = Bytes the length; an entry that is too short for its type is skipped. */
static VOID ReadMadtEntry(const UCHAR *Entry, ULONG Bytes) {
    if (Entry[0] == EntryLocalApic && Bytes >= 8) {
        AddProcessor(Entry[3], Read32(Entry + 4));
    } else if (Entry[0] == EntryLocalX2Apic && Bytes >= 16) {
        AddProcessor(Read32(Entry + 4), Read32(Entry + 8));
    } else if (Entry[0] == EntryIoApic && Bytes >= 12) {
        AddIoApic(Read32(Entry + 4), Read32(Entry + 8));
    } else if (Entry[0] == EntryOverride && Bytes >= 10) {
        AddOverride(Entry[3], Read32(Entry + 4), Entry[8]);
    } else if (Entry[0] == EntryLocalApicAddress && Bytes >= 12) {
        HalpMachine.LocalApicBase = Read64(Entry + 4);
    }
}

static VOID ReadMadt(const UCHAR *Table, ULONG Bytes) {
    if (Bytes < MadtEntries) {
        return;
    }
    HalpMachine.LocalApicBase = Read32(Table + MadtLocalApic);
    for (ULONG Offset = MadtEntries; Offset + 2 <= Bytes;) {
        ULONG EntryBytes = Table[Offset + 1];
        if (EntryBytes < 2 || EntryBytes > Bytes - Offset) {
            KdPrintf("acpi: the MADT ends in a damaged entry at offset %u\n", Offset);
            return;
        }
        ReadMadtEntry(Table + Offset, EntryBytes);
        Offset += EntryBytes;
    }
}

/* ---- FADT: the power-management timer, a clock of known speed; and the power button ---- */
static VOID ReadFadt(const UCHAR *Table, ULONG Bytes) {
    if (Bytes < FadtFlags + 4) {
        return;
    }
    ULONG Flags = Read32(Table + FadtFlags);
    if (Table[FadtPmTimerBytes] == 4) {
        HalpMachine.PmTimerPort = (USHORT)Read32(Table + FadtPmTimerBlock);
        HalpMachine.IsPmTimer32 = (Flags & FADT_PM_TIMER_IS_32_BITS) != 0;
    }
    if (Table[FadtPm1EventBytes] >= 4 && !(Flags & FADT_BUTTON_IS_A_DEVICE)) {
        HalpMachine.ButtonPort = (USHORT)Read32(Table + FadtPm1EventBlock);
        HalpMachine.ButtonEnable = (USHORT)(HalpMachine.ButtonPort + Table[FadtPm1EventBytes] / 2);
    }
}

static VOID ReadTable(ULONG64 Physical) {
    ULONG Bytes;
    const UCHAR *Signature = MapTable(Physical, TableHeaderBytes);
    if (Signature == NULL) {
        return;
    }
    BOOLEAN IsMadt = memcmp(Signature, "APIC", 4) == 0, IsFadt = memcmp(Signature, "FACP", 4) == 0;
    const UCHAR *Table = IsMadt || IsFadt ? OpenTable(Physical, &Bytes) : NULL;
    if (Table != NULL && IsMadt) {
        ReadMadt(Table, Bytes);
    } else if (Table != NULL) {
        ReadFadt(Table, Bytes);
    }
}

/* After MmInitializeSystem, while the low identity map is there. Without tables: one CPU, ISA interrupts as wired. */
VOID HalInitializeAcpi(ULONG64 Rsdp) {
    for (ULONG Irq = 0; Irq < ISA_INTERRUPTS; Irq++) {
        HalpMachine.Isa[Irq].GlobalInterrupt = Irq;
    }
    const UCHAR *Root = FindRsdp(Rsdp);
    if (Root == NULL) {
        KdPrintf("acpi: no tables: one CPU\n");
        return;
    }
    BOOLEAN HasXsdt = Root[RsdpRevision] >= 2 && Read64(Root + RsdpXsdt) != 0;
    ULONG EntryBytes = HasXsdt ? 8 : 4, Bytes;
    const UCHAR *Directory = OpenTable(HasXsdt ? Read64(Root + RsdpXsdt) : Read32(Root + RsdpRsdt), &Bytes);
    if (Directory == NULL) {
        return;
    }
    for (ULONG Offset = TableHeaderBytes; Offset + EntryBytes <= Bytes; Offset += EntryBytes) {
        ReadTable(HasXsdt ? Read64(Directory + Offset) : Read32(Directory + Offset));
    }
}

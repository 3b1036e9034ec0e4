/* dumpelf.c: the front of a dump: the ELF header, the notes, a program header for each range.
 *
 * The notes are those of a process's core file, as a debugger expects them: a name for the whole, and one set of
 * registers for each thread, which here is a CPU; then two of this kernel's own (dump.h). */
#include <arch.h>
#include <dump.h>
#include <rtl.h>

#define ELF_TYPE_CORE 4
#define ELF_MACHINE_X86_64 62
#define SEGMENT_LOAD 1
#define SEGMENT_NOTE 4
#define SEGMENT_READ 4
#define SEGMENT_WRITE 2
#define SEGMENT_EXECUTE 1
#define NOTE_STATUS 1  /* NT_PRSTATUS */
#define NOTE_PROCESS 3 /* NT_PRPSINFO */
#define SIGNAL_SEGMENT 11
#define MAXIMUM_LOADS 0xFF00      /* e_phnum has 16 bits */
#define SMALL_LEFT_OUT_LIMIT 2048 /* the table stays small too */
#define PRODUCT "Bugcheck 10.0.17763"

typedef struct _ELF_HEADER {
    UCHAR Ident[16];
    USHORT Type, Machine;
    ULONG Version;
    ULONG64 Entry, ProgramHeaders, SectionHeaders;
    ULONG Flags;
    USHORT HeaderBytes, ProgramHeaderBytes, ProgramHeaderCount, SectionHeaderBytes, SectionHeaderCount, NameSection;
} ELF_HEADER;
C_ASSERT(sizeof(ELF_HEADER) == 64);

typedef struct _ELF_PROGRAM_HEADER {
    ULONG Type, Flags;
    ULONG64 Offset, VirtualAddress, PhysicalAddress, FileBytes, MemoryBytes, Alignment;
} ELF_PROGRAM_HEADER;
C_ASSERT(sizeof(ELF_PROGRAM_HEADER) == 56);

typedef struct _ELF_PROCESS_NOTE { /* elf_prpsinfo */
    UCHAR State[40];
    CHAR FileName[16];
    CHAR Arguments[80];
} ELF_PROCESS_NOTE;
C_ASSERT(sizeof(ELF_PROCESS_NOTE) == 136);

typedef struct _ELF_STATUS_NOTE { /* elf_prstatus */
    ULONG Reserved0[3];
    ULONG Signal;
    ULONG64 Reserved1[2];
    ULONG Process;
    ULONG Reserved2[19];
    KD_REGISTERS Registers;
    ULONG HasFloatingPoint, Reserved3;
} ELF_STATUS_NOTE;
C_ASSERT(offsetof(ELF_STATUS_NOTE, Signal) == 12 && offsetof(ELF_STATUS_NOTE, Process) == 32);
C_ASSERT(offsetof(ELF_STATUS_NOTE, Registers) == 112 && sizeof(ELF_STATUS_NOTE) == 336);

typedef struct _NOTE_HEAD {
    ULONG NameBytes, ContentsBytes, Type;
} NOTE_HEAD;

/* The first note, and the second one's head; names are filled up to 4 bytes. */
C_ASSERT(sizeof(ELF_HEADER) + sizeof(NOTE_HEAD) + 8 + sizeof(ELF_PROCESS_NOTE) + sizeof(NOTE_HEAD) + 12 ==
         KD_DUMP_HEADER_OFFSET);

static ULONG64 RoundUp(ULONG64 Value, ULONG64 Unit) {
    return (Value + Unit - 1) & ~(Unit - 1);
}

static ULONG64 NoteBytes(PCSTR Name, SIZE_T ContentsBytes) {
    return sizeof(NOTE_HEAD) + RoundUp(strlen(Name) + 1, 4) + RoundUp(ContentsBytes, 4);
}

static ULONG ProcessorCount(VOID) {
    KD_DUMP_HEADER Header;
    KiDescribeForDump(&Header);
    return Header.ProcessorCount;
}

/* ---- Measuring ---- */

static BOOLEAN IsLoad(const KD_DUMP_LEFT_OUT *Range, ULONG64 LoadsBefore) {
    return Range->Reason == KdDumpPresent && LoadsBefore < MAXIMUM_LOADS;
}

static BOOLEAN IsListed(const KD_DUMP_LEFT_OUT *Range, const KD_DUMP_SIZES *Sizes, ULONG64 ListedBefore) {
    return Range->Reason != KdDumpPresent && (Sizes->Level == KdDumpFull || ListedBefore < SMALL_LEFT_OUT_LIMIT);
}

/* Where everything will lie. */
VOID KdMeasureDump(ULONG Level, KD_DUMP_SIZES *Sizes) {
    KD_DUMP_CURSOR Cursor = {0};
    KD_DUMP_LEFT_OUT Range;
    ULONG64 Contents = 0;
    *Sizes = (KD_DUMP_SIZES){.Level = Level};
    while (KdNextDumpRange(&Cursor, Level, &Range)) {
        if (IsLoad(&Range, Sizes->Loads)) {
            Sizes->Loads++;
            Contents += Range.End - Range.Start;
        } else if (IsListed(&Range, Sizes, Sizes->LeftOut)) {
            Sizes->LeftOut++;
        }
    }
    ULONG64 Notes = NoteBytes("CORE", sizeof(ELF_PROCESS_NOTE)) + NoteBytes(KD_DUMP_NOTE_NAME, sizeof(KD_DUMP_HEADER)) +
                    ProcessorCount() * NoteBytes("CORE", sizeof(ELF_STATUS_NOTE)) +
                    NoteBytes(KD_DUMP_NOTE_NAME, Sizes->LeftOut * sizeof(KD_DUMP_LEFT_OUT));
    Sizes->NotesBytes = Notes;
    Sizes->HeadersOffset = RoundUp(sizeof(ELF_HEADER) + Notes, 8);
    Sizes->ContentsOffset = RoundUp(Sizes->HeadersOffset + (1 + Sizes->Loads) * sizeof(ELF_PROGRAM_HEADER), PAGE_SIZE);
    Sizes->TotalBytes = Sizes->ContentsOffset + Contents;
}

/* ---- Writing ---- */

static VOID PutElfHeader(const KD_DUMP_SIZES *Sizes) {
    ELF_HEADER Header = {.Ident = {0x7F, 'E', 'L', 'F', 2, 1, 1},
                         .Type = ELF_TYPE_CORE,
                         .Machine = ELF_MACHINE_X86_64,
                         .Version = 1,
                         .ProgramHeaders = Sizes->HeadersOffset,
                         .HeaderBytes = sizeof(ELF_HEADER),
                         .ProgramHeaderBytes = sizeof(ELF_PROGRAM_HEADER),
                         .ProgramHeaderCount = (USHORT)(1 + Sizes->Loads)};
    KdPutDump(&Header, sizeof(Header));
}

static VOID PutNoteHead(PCSTR Name, ULONG Type, SIZE_T ContentsBytes) {
    SIZE_T NameBytes = strlen(Name) + 1;
    NOTE_HEAD Head = {(ULONG)NameBytes, (ULONG)ContentsBytes, Type};
    KdPutDump(&Head, sizeof(Head));
    KdPutDump(Name, NameBytes);
    KdPutDump(NULL, RoundUp(NameBytes, 4) - NameBytes);
}

static VOID PutProcess(VOID) {
    ELF_PROCESS_NOTE Note = {0};
    RtlFormat(Note.FileName, sizeof(Note.FileName), "kernel.elf");
    KiFormatForDump(Note.Arguments, sizeof(Note.Arguments));
    PutNoteHead("CORE", NOTE_PROCESS, sizeof(Note));
    KdPutDump(&Note, sizeof(Note));
}

static VOID PutHeader(const KD_DUMP_SIZES *Sizes) {
    KD_DUMP_HEADER Header = {.Version = KD_DUMP_VERSION,
                             .Flags = DBG ? KD_DUMP_CHECKED_BUILD : 0,
                             .Level = Sizes->Level,
                             .Seed = KeSeed,
                             .Tsc = HalReadTsc(),
                             .TscHz = HalFeatures.TscHz,
                             .TotalBytes = Sizes->TotalBytes,
                             .LeftOutRanges = Sizes->LeftOut,
                             .PageFileBytesPerSlot = PAGE_SIZE,
                             .HeaderPageBytes = PAGE_SIZE,
                             .KernelVersion = PRODUCT};
    memcpy(Header.Signature, KD_DUMP_SIGNATURE, sizeof(Header.Signature));
    KiDescribeForDump(&Header);
    PutNoteHead(KD_DUMP_NOTE_NAME, KD_DUMP_NOTE_HEADER, sizeof(Header));
    KdPutDump(&Header, sizeof(Header));
}

static VOID PutProcessor(ULONG Number) {
    ELF_STATUS_NOTE Note = {.Signal = SIGNAL_SEGMENT, .Process = Number + 1};
    KiQueryRegisters(Number, &Note.Registers);
    PutNoteHead("CORE", NOTE_STATUS, sizeof(Note));
    KdPutDump(&Note, sizeof(Note));
}

/* A debugger shows the first one first. */
static VOID PutProcessors(VOID) {
    KD_DUMP_HEADER Header;
    KiDescribeForDump(&Header);
    PutProcessor(Header.GuiltyProcessor);
    for (ULONG Number = 0; Number < Header.ProcessorCount; Number++) {
        if (Number != Header.GuiltyProcessor) {
            PutProcessor(Number);
        }
    }
}

static VOID PutLeftOut(const KD_DUMP_SIZES *Sizes) {
    KD_DUMP_CURSOR Cursor = {0};
    KD_DUMP_LEFT_OUT Range;
    PutNoteHead(KD_DUMP_NOTE_NAME, KD_DUMP_NOTE_LEFT_OUT, Sizes->LeftOut * sizeof(Range));
    ULONG64 Loads = 0;
    for (ULONG64 Listed = 0; Listed < Sizes->LeftOut && KdNextDumpRange(&Cursor, Sizes->Level, &Range);) {
        if (IsLoad(&Range, Loads)) {
            Loads++;
        } else if (IsListed(&Range, Sizes, Listed)) {
            KdPutDump(&Range, sizeof(Range));
            Listed++;
        }
    }
}

static VOID PutProgramHeaders(const KD_DUMP_SIZES *Sizes) {
    KD_DUMP_CURSOR Cursor = {0};
    KD_DUMP_LEFT_OUT Range;
    ULONG64 Offset = Sizes->ContentsOffset, Loads = 0;
    ELF_PROGRAM_HEADER Note = {.Type = SEGMENT_NOTE,
                               .Flags = SEGMENT_READ,
                               .Offset = sizeof(ELF_HEADER),
                               .FileBytes = Sizes->NotesBytes,
                               .Alignment = 4};
    KdPutDump(&Note, sizeof(Note));
    while (Loads < Sizes->Loads && KdNextDumpRange(&Cursor, Sizes->Level, &Range)) {
        if (IsLoad(&Range, Loads)) {
            ULONG64 Bytes = Range.End - Range.Start;
            ELF_PROGRAM_HEADER Load = {.Type = SEGMENT_LOAD,
                                       .Flags = SEGMENT_READ | SEGMENT_WRITE | SEGMENT_EXECUTE,
                                       .Offset = Offset,
                                       .VirtualAddress = Range.Start,
                                       .FileBytes = Bytes,
                                       .MemoryBytes = Bytes,
                                       .Alignment = 1};
            KdPutDump(&Load, sizeof(Load));
            Offset += Bytes;
            Loads++;
        }
    }
}

/* All that lies before the contents, into the open stream. */
VOID KdPutDumpHead(const KD_DUMP_SIZES *Sizes) {
    PutElfHeader(Sizes);
    PutProcess();
    PutHeader(Sizes);
    PutProcessors();
    PutLeftOut(Sizes);
    KdPutDump(NULL, Sizes->HeadersOffset - KdGetDumpOffset());
    PutProgramHeaders(Sizes);
    KdPutDump(NULL, Sizes->ContentsOffset - KdGetDumpOffset());
}

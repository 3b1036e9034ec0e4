/* dump.h: the crash dump: an ELF64 core file, written to a disk of its own from byte 0.
 *
 *   header page    ELF header; notes: NT_PRPSINFO, "Bugcheck" (KD_DUMP_HEADER)
 *                  notes go on: NT_PRSTATUS for each CPU, the guilty one first; "Bugcheck" (KD_DUMP_LEFT_OUT[])
 *   program headers, then the contents of memory, one PT_LOAD for each range of virtual addresses
 *
 * The header page is written first, as incomplete, and again at the end with the checksum: so a torn dump can be read
 * as far as it goes, and is known to be torn. All is little-endian; tools/machine/dumpfile.py reads it on the host. */
#ifndef _DUMP_H_
#define _DUMP_H_

#include <mm.h>
#include <block.h>

#define KD_DUMP_NOTE_NAME "Bugcheck"
/* Debuggers take an unknown owner's note for the system's own of that type: no system has these types. */
#define KD_DUMP_NOTE_HEADER 0x42430001
#define KD_DUMP_NOTE_LEFT_OUT 0x42430002
#define KD_DUMP_SIGNATURE "BUGCHECK"
#define KD_DUMP_VERSION 1
#define KD_DUMP_COMPLETE 1      /* Flags: all that the header names has been written */
#define KD_DUMP_CHECKED_BUILD 2 /* Flags */

enum { KdDumpNone, KdDumpSmall, KdDumpFull };

typedef struct _KD_DUMP_HEADER {
    CHAR Signature[8]; /* KD_DUMP_SIGNATURE, without a 0 */
    ULONG Version;
    ULONG Flags;
    ULONG Level; /* KdDumpSmall, KdDumpFull */
    ULONG BugCheckCode;
    ULONG64 BugCheckParameter[4];
    ULONG64 Seed; /* 0: not seeded */
    ULONG GuiltyProcessor, ProcessorCount;
    ULONG64 Tsc, TscHz;         /* when the dump was begun */
    ULONG64 TotalBytes;         /* of the file */
    ULONG64 LeftOutRanges;      /* in the table of them */
    ULONG PageFileBytesPerSlot; /* the slots of ranges that are paged out: offset in the page file = slot * this */
    ULONG HeaderPageBytes;
    ULONG Crc32;       /* of all bytes behind the header page; 0 while incomplete */
    ULONG HeaderCrc32; /* of the header page, with 0 in this place */
    CHAR KernelVersion[64];
    CHAR Scenario[32];
} KD_DUMP_HEADER, *PKD_DUMP_HEADER;
C_ASSERT(sizeof(KD_DUMP_HEADER) == 216);
#define KD_DUMP_HEADER_OFFSET 244 /* where it lies in the file */

/* Why a range of addresses is not in the dump. */
enum {
    KdDumpPresent,    /* it is there */
    KdDumpPagedOut,   /* the contents are in the page file, at Slot and the following slots */
    KdDumpNotChosen,  /* level small */
    KdDumpDevice,     /* registers of a device, or memory on one */
    KdDumpDemandZero, /* never touched: would read as zeros */
    KdDumpDirectMap,  /* RAM not used by this address: in the dump by another, or free */
    KdDumpOwnBuffer,  /* the buffer of the dump itself */
    KdDumpAbsent      /* nothing is mapped: not in the table either */
};

typedef struct _KD_DUMP_LEFT_OUT {
    ULONG64 Start, End; /* addresses, End exclusive */
    ULONG Reason;
    ULONG Slot; /* of the first page; KdDumpPagedOut only */
} KD_DUMP_LEFT_OUT;
C_ASSERT(sizeof(KD_DUMP_LEFT_OUT) == 24);

/* Registers of a CPU as a debugger wants them. */
typedef struct _KD_REGISTERS {
    ULONG64 R15, R14, R13, R12, Rbp, Rbx, R11, R10, R9, R8, Rax, Rcx, Rdx, Rsi, Rdi, OriginalRax;
    ULONG64 Rip, SegCs, EFlags, Rsp, SegSs, FsBase, GsBase, SegDs, SegEs, SegFs, SegGs;
} KD_REGISTERS, *PKD_REGISTERS; /* the order is that of NT_PRSTATUS on x86-64 */
C_ASSERT(sizeof(KD_REGISTERS) == 27 * 8);

/* ---- The bugcheck's part (dump/bugdump.c). Dying ---- */
VOID KiDescribeForDump(PKD_DUMP_HEADER Header);                  /* code, parameters, CPUs, scenario */
VOID KiQueryRegisters(ULONG Processor, PKD_REGISTERS Registers); /* zeros: the CPU did not answer the freeze */
VOID KiChooseForDump(VOID (*Choose)(ULONG64 Address, ULONG64 Bytes));
int KiFormatForDump(PCHAR Buffer, SIZE_T Bytes); /* the bugcheck in a line */
VOID KiShowDumpLine(PCSTR Text);                 /* report/bugscreen.c: in the foot of the blue screen */

/* The memory manager's answer about an address (mm/dumppage.c). */
typedef struct _MM_DUMP_PAGE {
    ULONG Reason;  /* KdDumpPresent ... KdDumpAbsent */
    ULONG64 Pages; /* that the same holds for, from the address on; at least 1 */
    union {
        ULONG64 Physical; /* KdDumpPresent: of the first page, the others follow it */
        ULONG64 Slot;     /* KdDumpPagedOut */
    };
} MM_DUMP_PAGE;
MM_DUMP_PAGE MmQueryDumpPage(ULONG64 Va, const MM_REGION *Region);
ULONG64 MmGetPfnAddress(ULONG64 Va);

/* ---- Which ranges (dump/dumpranges.c, dump/dumpchosen.c) ---- */
typedef struct _KD_DUMP_CURSOR {
    ULONG Region;   /* which region is being walked, in the order of their worth */
    ULONG64 Va;     /* in it; 0: from its start */
    ULONG64 Within; /* level small: up to here the range last found has been told */
    KD_DUMP_LEFT_OUT Found;
} KD_DUMP_CURSOR;
/* The next range, all of one kind, ascending within a region; FALSE: there is none left. The cursor begins as zeros. */
BOOLEAN KdNextDumpRange(KD_DUMP_CURSOR *Cursor, ULONG Level, KD_DUMP_LEFT_OUT *Range);
VOID KdChooseForSmallDump(VOID);
/* The first chosen part of [Start, End); FALSE: none. */
BOOLEAN KdFindChosen(ULONG64 Start, ULONG64 End, ULONG64 *ChosenStart, ULONG64 *ChosenEnd);

/* ---- The disk (dump/dumpdisk.c) ---- */
#define KD_DUMP_BUFFER_BYTES 0x20000
extern UCHAR KdDumpBuffer[KD_DUMP_BUFFER_BYTES];
NTSTATUS KdOpenDumpStream(PBLOCK_DEVICE Disk);
VOID KdPutDump(const void *Data, SIZE_T Bytes); /* NULL: zeros */
ULONG64 KdGetDumpOffset(VOID);
NTSTATUS KdGetDumpStatus(VOID);
NTSTATUS KdSealDump(VOID); /* flushes, and writes the header page once more, as complete */
ULONG KdExtendCrc(ULONG Crc, const void *Data, SIZE_T Bytes); /* dump/crc32.c */

/* ---- The ELF file before the contents (dump/dumpelf.c) ---- */
typedef struct _KD_DUMP_SIZES {
    ULONG Level;
    ULONG64 Loads, LeftOut;                                        /* how many */
    ULONG64 NotesBytes, HeadersOffset, ContentsOffset, TotalBytes; /* in the file */
} KD_DUMP_SIZES;
VOID KdMeasureDump(ULONG Level, KD_DUMP_SIZES *Sizes);
VOID KdPutDumpHead(const KD_DUMP_SIZES *Sizes);

#endif

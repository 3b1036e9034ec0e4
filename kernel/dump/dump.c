/* dump.c: the crash dump: the dying kernel's legacy to the question "why".
 *
 *   measure     the page tables are walked once: how much is there, and does it fit on the disk?
 *   head        registers of all CPUs, the bugcheck, the table of ranges                        (dumpelf.c)
 *   contents    each range, page by page, out of RAM                       (dumpranges.c, mm/dumppage.c)
 *   seal        the header page once more, with the checksum, as complete                      (dumpdisk.c)
 *
 * The disk's content is the file: `gdb kernel.elf DISK` opens it. Nothing is allocated or locked; memory is read through
 * the direct map, and only where the PFN database says that there is RAM. If the dump faults all the same (the disk's
 * driver may be the broken one), one line says so and the machine ends as it would have; the part already written is
 * marked as incomplete. */
#include <arch.h>
#include <bugcheck.h>
#include <io.h>
#include <kd.h>
#include <rtl.h>

#define LINE_BYTES 200
#define STEP_PERCENT 25

static CHAR Line[LINE_BYTES];
static ULONG64 Done, Total; /* bytes of contents, for the progress */
static ULONG Told;          /* the percentage that was shown last */

/* ---- Messages ---- */

static VOID SayLine(VOID) {
    KdPutString("dump: ");
    KdPutString(Line);
    KdPutString("\n");
    KiShowDumpLine(Line);
}

static VOID ShowBegin(ULONG Level, PCSTR Disk) {
    RtlFormat(Line, sizeof(Line), "dump: %s, %llu KiB to %s:", Level == KdDumpFull ? "full" : "small", Total >> 10,
              Disk);
    KdPutString(Line);
}

static VOID ShowProgress(VOID) {
    ULONG Percent = Total == 0 ? 100 : (ULONG)(Done * 100 / Total);
    if (Percent < Told + STEP_PERCENT) {
        return;
    }
    Told = Percent / STEP_PERCENT * STEP_PERCENT;
    RtlFormat(Line, sizeof(Line), " %u%%", Told);
    KdPutString(Line);
    RtlFormat(Line, sizeof(Line), "writing the dump: %u%% of %llu KiB", Told, Total >> 10);
    KiShowDumpLine(Line);
}

static VOID ShowEnd(PCSTR Disk, ULONG64 Bytes, ULONG64 Ticks) {
    ULONG64 Hz = HalFeatures.TscHz ? HalFeatures.TscHz : 1000000000;
    ULONG64 Milliseconds = Ticks / (Hz / 1000);
    RtlFormat(Line, sizeof(Line), ", %llu.%03llu s\n", Milliseconds / 1000, Milliseconds % 1000);
    KdPutString(Line);
    RtlFormat(Line, sizeof(Line), "%llu KiB on %s", Bytes >> 10, Disk);
    KiShowDumpLine(Line);
}

static VOID ShowError(PCSTR Disk, NTSTATUS Status) {
    PCSTR What = Status == STATUS_IO_TIMEOUT ? "does not answer" : "fails";
    KdPutString("\n");
    RtlFormat(Line, sizeof(Line), "%s %s (0x%08X) after %llu KiB: the dump is incomplete", Disk, What, (ULONG)Status,
              KdGetDumpOffset() >> 10);
    SayLine();
}

/* The machine goes on to its end from here, on the stack of the fault. */
static VOID DumpFaulted(ULONG Code, ULONG64 Rip, ULONG64 FaultAddress) {
    CHAR Where[120];
    KdFormatAddress(Where, sizeof(Where), Rip);
    KdPutString("\n");
    RtlFormat(Line, sizeof(Line), "stopped after %llu KiB by a fault in %s, 0x%X, address 0x%016llX: it is incomplete",
              KdGetDumpOffset() >> 10, Where, Code, FaultAddress);
    SayLine();
}

/* ---- Writing ---- */

static VOID PutRange(const KD_DUMP_LEFT_OUT *Range) {
    const MM_REGION *Region = MmFindRegion(Range->Start);
    for (ULONG64 Va = Range->Start; Va < Range->End;) {
        ULONG64 Base = Va & ~(PAGE_SIZE - 1ULL);
        MM_DUMP_PAGE Page = MmQueryDumpPage(Base, Region);
        ULONG64 PageEnd = Base + (Page.Pages << PAGE_SHIFT), End = PageEnd < Range->End ? PageEnd : Range->End;
        const UCHAR *Contents = MmPhysicalToVirtual(Page.Physical);
        KdPutDump(Page.Reason == KdDumpPresent ? Contents + (Va - Base) : NULL, End - Va);
        Done += End - Va;
        Va = End;
        ShowProgress();
    }
}

static VOID PutContents(const KD_DUMP_SIZES *Sizes) {
    KD_DUMP_CURSOR Cursor = {0};
    KD_DUMP_LEFT_OUT Range;
    ULONG64 Loads = 0;
    while (Loads < Sizes->Loads && NT_SUCCESS(KdGetDumpStatus()) && KdNextDumpRange(&Cursor, Sizes->Level, &Range)) {
        if (Range.Reason == KdDumpPresent) {
            PutRange(&Range);
            Loads++;
        }
    }
}

static VOID WriteDump(ULONG Level, PBLOCK_DEVICE Disk) {
    static KD_DUMP_SIZES Sizes;
    ULONG64 Start = HalReadTsc();
    if (Level == KdDumpSmall) {
        KdChooseForSmallDump();
    }
    KdMeasureDump(Level, &Sizes);
    if (Sizes.TotalBytes > Disk->SectorCount * BLOCK_SECTOR_SIZE) {
        RtlFormat(Line, sizeof(Line), "none: %s is too small: it has %llu KiB, and %llu KiB are needed", Disk->Name,
                  Disk->SectorCount * BLOCK_SECTOR_SIZE >> 10, Sizes.TotalBytes >> 10);
        SayLine();
        return;
    }
    Total = Sizes.TotalBytes - Sizes.ContentsOffset;
    ShowBegin(Level, Disk->Name);
    NTSTATUS Status = KdOpenDumpStream(Disk);
    if (NT_SUCCESS(Status)) {
        KdPutDumpHead(&Sizes);
        PutContents(&Sizes);
        Status = KdSealDump();
    }
    if (NT_SUCCESS(Status)) {
        ShowEnd(Disk->Name, Sizes.TotalBytes, HalReadTsc() - Start);
    } else {
        ShowError(Disk->Name, Status);
    }
}

/* The level that dump= asks for; full without it. */
static ULONG ChosenLevel(VOID) {
    CHAR Value[8];
    if (!KeGetBootOption("dump", Value, sizeof(Value))) {
        return KdDumpFull;
    }
    return strcmp(Value, "none") == 0 ? KdDumpNone : strcmp(Value, "small") == 0 ? KdDumpSmall : KdDumpFull;
}

static VOID WriteAnyDump(VOID) {
    ULONG Level = ChosenLevel();
    PBLOCK_DEVICE Disk = IoGetDumpDisk();
    if (Level == KdDumpNone || Disk == NULL) {
        RtlFormat(Line, sizeof(Line), "none: %s", Disk == NULL ? "this machine has no disk for it" : "dump=none");
        SayLine();
    } else {
        WriteDump(Level, Disk);
    }
}
KE_BUG_STEP(40, WriteAnyDump, DumpFaulted);

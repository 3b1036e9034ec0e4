/* initialize.c: from the boot code's page tables to a memory manager: direct map, PFN database, free pages.
 *
 * It runs once, on the boot CPU, with every interrupt masked. Frames come from a cursor that only moves up through
 * the RAM that the boot protocol reported, past the kernel image and the boot archive; the RAM above the cursor at
 * the end becomes the free list. Page tables are reached through the self map, so that nothing here depends on the
 * low identity map. */
#include "mi.h"
#include <arch.h>
#include <kd.h>

#define LARGE_2M 0x200000ULL
#define LARGE_1G 0x40000000ULL
#define LOWEST_ADDRESS 0x100000ULL       /* below: firmware, and the trampoline of the other CPUs */
#define MAXIMUM_ADDRESS 0x10000000000ULL /* 1 TiB: the direct map's region */
#define MINIMUM_FREE_PAGES 1024
#define COMMIT_RESERVE 128 /* MI_RESERVED_PAGES, reads in progress, pages being zeroed, page tables */
#define BITMAPS (MM_PFN_DATABASE + 0x4000000000ULL) /* behind the largest database */

static PBOOT_INFO Boot;
static ULONG64 NextEarly; /* the first address not yet given out */

static DECLSPEC_NORETURN VOID StopForLackOfMemory(ULONG64 Pages) {
    KdPrintf("mm: this machine has too little memory: %llu KiB of RAM, %llu pages free; 16 MiB are needed\n",
             Boot->TotalRam >> 10, Pages);
    KeBugCheckEx(INSTALL_MORE_MEMORY, Boot->TotalRam >> PAGE_SHIFT, 0, Boot->HighestRam >> PAGE_SHIFT, 0);
}

/* The end of the kernel image or the archive if Address lies in it, otherwise 0. */
static ULONG64 FindReserved(ULONG64 Address) {
    if (Address >= (Boot->KernelBase & ~(PAGE_SIZE - 1ULL)) && Address < Boot->KernelEnd) {
        return ROUND_TO_PAGES(Boot->KernelEnd);
    }
    ULONG64 ArchiveEnd = Boot->ArchiveBase + Boot->ArchiveBytes;
    if (Address >= (Boot->ArchiveBase & ~(PAGE_SIZE - 1ULL)) && Address < ArchiveEnd) {
        return ROUND_TO_PAGES(ArchiveEnd);
    }
    return 0;
}

/* Physical address of a frame of unknown contents. */
static ULONG64 TakeEarlyFrame(VOID) {
    for (ULONG Index = 0; Index < Boot->RangeCount; Index++) {
        const BOOT_MEMORY_RANGE *Range = &Boot->Range[Index];
        if (NextEarly < Range->Base) {
            NextEarly = Range->Base;
        }
        while (NextEarly < Range->Base + Range->Bytes) {
            ULONG64 End = FindReserved(NextEarly);
            if (End == 0) {
                NextEarly += PAGE_SIZE;
                return NextEarly - PAGE_SIZE;
            }
            NextEarly = End;
        }
    }
    StopForLackOfMemory(0);
}

/* Gives a page-table entry a zeroed table, if it has none. Table is where the self map shows the table. */
static VOID MakeEarlyTable(volatile MMPTE *Entry, volatile MMPTE *Table, MMPTE Bits) {
    if (!(*Entry & PTE_VALID)) {
        *Entry = TakeEarlyFrame() | MI_TABLE_BITS | Bits;
        RtlZeroMemory((PVOID)PAGE_ALIGN(Table), PAGE_SIZE);
    }
}

/* The tables for Va down to Level (1: a PTE can be set, 2: a large page, 3: a 1-GiB page). */
static VOID MakeEarlyTables(ULONG64 Va, ULONG Level) {
    MakeEarlyTable(MiGetPxeAddress(Va), MiGetPpeAddress(Va), 0);
    if (Level < 3) {
        MakeEarlyTable(MiGetPpeAddress(Va), MiGetPdeAddress(Va), 0);
    }
    if (Level < 2) {
        MakeEarlyTable(MiGetPdeAddress(Va), MiGetPteAddress(Va), 0);
    }
}

/* One top-level entry serves all CPUs forever; only where code lives is execution possible at all. */
static VOID MakeTopLevel(VOID) {
    ULONG Count;
    const MM_REGION *Region = MmGetRegions(&Count);
    *MiGetPxeAddress(MM_PTE_BASE) |= PTE_NX;
    for (; Count != 0; Count--, Region++) {
        BOOLEAN HoldsCode = Region->Kind == RegionKernelImage || Region->Kind == RegionDriverImages ||
                            Region->Kind == RegionNonPagedPool || Region->Kind == RegionSpecialPool;
        for (ULONG64 Va = Region->Start & ~(0x8000000000ULL - 1); Va < Region->End && Va >= MM_DIRECT_MAP;
             Va += 0x8000000000ULL) {
            MakeEarlyTable(MiGetPxeAddress(Va), MiGetPpeAddress(Va), HoldsCode ? 0 : PTE_NX);
        }
    }
    HalFlushTlb();
}

static BOOLEAN OverlapsKernel(ULONG64 Base, ULONG64 Bytes) {
    return Base < Boot->KernelEnd && Base + Bytes > Boot->KernelBase;
}

/* Accesses forbidden by the kernel's own mapping of the page are forbidden in the direct map too. */
static MMPTE DirectMapBits(ULONG64 Physical) {
    ULONG Level;
    MMPTE Image = OverlapsKernel(Physical, PAGE_SIZE) ? MiReadPte(MM_KERNEL_BASE + Physical, &Level) : 0;
    return Image & PTE_VALID && !(Image & PTE_WRITE) ? MI_DATA_BITS & ~(PTE_WRITE | PTE_DIRTY) : MI_DATA_BITS;
}

/* Maps the largest page that fits at Physical; returns its size. */
static ULONG64 MapDirect(ULONG64 Physical, ULONG64 End) {
    ULONG64 Va = MM_DIRECT_MAP + Physical;
    if (HalFeatures.Page1G && Physical % LARGE_1G == 0 && End - Physical >= LARGE_1G &&
        !OverlapsKernel(Physical, LARGE_1G)) {
        MakeEarlyTables(Va, 3);
        *MiGetPpeAddress(Va) = Physical | MI_DATA_BITS | PTE_LARGE;
        return LARGE_1G;
    }
    if (Physical % LARGE_2M == 0 && End - Physical >= LARGE_2M && !OverlapsKernel(Physical, LARGE_2M)) {
        MakeEarlyTables(Va, 2);
        *MiGetPdeAddress(Va) = Physical | MI_DATA_BITS | PTE_LARGE;
        return LARGE_2M;
    }
    MakeEarlyTables(Va, 1);
    *MiGetPteAddress(Va) = Physical | DirectMapBits(Physical);
    return PAGE_SIZE;
}

/* The archive lies where the loader has put it, which the firmware may have taken out of the RAM that it reports. */
static VOID MapArchive(VOID) {
    for (ULONG64 At = Boot->ArchiveBase & ~(PAGE_SIZE - 1ULL); At < Boot->ArchiveBase + Boot->ArchiveBytes;
         At += PAGE_SIZE) {
        ULONG Level;
        if (!(MiReadPte(MM_DIRECT_MAP + At, &Level) & PTE_VALID)) {
            MapDirect(At, At + PAGE_SIZE);
        }
    }
}

static VOID MakeDirectMap(VOID) {
    for (ULONG Index = 0; Index < Boot->RangeCount; Index++) {
        ULONG64 Physical = Boot->Range[Index].Base, End = Physical + Boot->Range[Index].Bytes;
        while (Physical < End && Physical < MAXIMUM_ADDRESS) {
            Physical += MapDirect(Physical, End);
        }
    }
    MapArchive();
}

/* Zeroed pages for [Va, Va + Bytes); those that are there already stay. */
static VOID MapEarlyZeroed(ULONG64 Va, ULONG64 Bytes) {
    for (ULONG64 At = Va & ~(PAGE_SIZE - 1ULL); At < Va + Bytes; At += PAGE_SIZE) {
        MakeEarlyTables(At, 1);
        if (!(*MiGetPteAddress(At) & PTE_VALID)) {
            ULONG64 Physical = TakeEarlyFrame();
            *MiGetPteAddress(At) = Physical | MI_DATA_BITS;
            MiZeroFrame(Physical >> PAGE_SHIFT);
        }
    }
}

/* The runs of frames that the lists may ever hold, and an MMPFN for each. */
static VOID MakePfnDatabase(VOID) {
    for (ULONG Index = 0; Index < Boot->RangeCount; Index++) {
        ULONG64 Base = Boot->Range[Index].Base, End = Base + Boot->Range[Index].Bytes;
        Base = Base < LOWEST_ADDRESS ? LOWEST_ADDRESS : Base;
        End = End > MAXIMUM_ADDRESS ? MAXIMUM_ADDRESS : End;
        if (Base < End) {
            MiRam[MiRamRuns++] = (MI_RAM_RUN){Base >> PAGE_SHIFT, End >> PAGE_SHIFT};
            MapEarlyZeroed((ULONG64)MiGetPfn(Base >> PAGE_SHIFT), ((End - Base) >> PAGE_SHIFT) * sizeof(MMPFN));
        }
    }
    if (MiRamRuns == 0) {
        StopForLackOfMemory(0);
    }
    MiLowestFrame = MiRam[0].First;
    MiHighestFrame = MiRam[MiRamRuns - 1].End - 1;
}

static ULONG64 CountFrames(VOID) {
    ULONG64 Frames = 0;
    for (ULONG Run = 0; Run < MiRamRuns; Run++) {
        Frames += MiRam[Run].End - MiRam[Run].First;
    }
    return Frames;
}

static ULONG64 Clamp(ULONG64 Value, ULONG64 Low, ULONG64 High) {
    return Value < Low ? Low : Value > High ? High : Value;
}

static ULONG64 MakeRange(MI_RANGE *Range, ULONG64 Start, ULONG64 Pages, ULONG64 Bitmap, BOOLEAN ReusesLate) {
    Pages = (Pages + 63) & ~63ULL;
    MapEarlyZeroed(Bitmap, Pages / 8);
    *Range = (MI_RANGE){.Start = Start, .Pages = Pages, .Bitmap = (ULONG64 *)Bitmap, .ReusesLate = ReusesLate};
    return Bitmap + Pages / 8;
}

/* Address space is sized by the RAM, because each page of it costs a bit. */
static VOID MakeRanges(VOID) {
    ULONG64 Frames = CountFrames(), At = BITMAPS;
    At = MakeRange(&MiNonPagedRange, MM_NONPAGED_POOL, Clamp(Frames * 2, 0x2000, 0x1000000), At, FALSE);
    At = MakeRange(&MiPagedRange, MM_PAGED_POOL, Clamp(Frames * 8, 0x8000, 0x1000000), At, FALSE);
    At = MakeRange(&MiSystemRange, MM_SYSTEM_PTES, 0x40000, At, FALSE);
    At = MakeRange(&MiStackRange, MM_STACKS, 0x10000, At, FALSE);
    MakeRange(&MiImageRange, MM_DRIVER_IMAGES, (MM_DRIVER_IMAGES_END - MM_DRIVER_IMAGES) >> PAGE_SHIFT, At, TRUE);
}

/* Every frame above the cursor that is no part of the image or the archive is free; the others keep their owner. */
static VOID FreeRemainingFrames(VOID) {
    for (ULONG Run = 0; Run < MiRamRuns; Run++) {
        for (ULONG64 Frame = MiRam[Run].First; Frame < MiRam[Run].End; Frame++) {
            PMMPFN Pfn = MiGetPfn(Frame);
            Pfn->Location = LocationActive;
            if (Frame << PAGE_SHIFT >= NextEarly && FindReserved(Frame << PAGE_SHIFT) == 0) {
                MiInsertPage(&MiFreeList, Pfn);
            }
        }
    }
    MiTotalPages = MiFreeList.Count;
    if (MiTotalPages < MINIMUM_FREE_PAGES) {
        StopForLackOfMemory(MiTotalPages);
    }
    MiCommitLimit = MiResidentLimit = MiTotalPages - COMMIT_RESERVE;
    MiLowPages = Clamp(MiTotalPages / 32, 96, 4096);
    MiHighPages = MiLowPages * 2;
    MiZeroedTarget = Clamp(MiTotalPages / 32, 32, MI_ZEROED_TARGET);
}

/* See mm.h. Boot CPU, all interrupts masked, page tables as entry.asm left them. Stops when RAM is too small. */
VOID MmInitializeSystem(struct _BOOT_INFO *BootInfo) {
    Boot = BootInfo;
    NextEarly = LOWEST_ADDRESS;
    MakeTopLevel();
    MakeDirectMap();
    MakePfnDatabase();
    MakeRanges();
    MiInitializePageEvents();
    MiInitializePageIn();
    FreeRemainingFrames();
    MiInitializePool();
}

/* See mm.h. The zero-page thread runs also where there is no disk; trimming would not help there. */
NTSTATUS MmInitializePaging(VOID) {
    NTSTATUS Status = MiStartZeroThread();
    if (NT_SUCCESS(Status)) {
        Status = MiStartWriter();
    }
    if (NT_SUCCESS(Status)) {
        Status = MiStartTrimmer();
    }
    if (NT_SUCCESS(Status)) {
        Status = MiOpenPageFile();
    }
    return Status;
}

static ULONG_PTR FlushWholeTlb(ULONG_PTR Argument) {
    HalFlushTlb();
    return Argument;
}

/* See mm.h. PASSIVE_LEVEL. The tables themselves are part of the kernel image and stay. */
VOID MmReleaseBootMemory(VOID) {
    *MiGetPxeAddress(0) = 0;
    KeIpiGenericCall(FlushWholeTlb, 0);
}

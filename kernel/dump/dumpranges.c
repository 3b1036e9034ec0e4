/* dumpranges.c: the address ranges in a dump, from a fresh walk of the page tables each time.
 *
 * Nothing is stored, for lack of a place that could hold it: the walk is repeated for the count, for the table of
 * ranges and for the contents. It comes out the same each time, since the tables do not change while one CPU dumps.
 *
 * The regions come in the order of their worth: a dump that is torn or cut off has kept its beginning, and from the
 * kernel's variables, the drivers, the stacks and the threads a debugger can answer most questions. */
#include <dump.h>
#include <rtl.h>

static ULONG64 Lesser(ULONG64 Left, ULONG64 Right) {
    return Left < Right ? Left : Right;
}

/* As MmQueryDumpPage, without the buffer through which this very dump goes, and not past the region's end. */
static MM_DUMP_PAGE QueryPage(ULONG64 Va, const MM_REGION *Region) {
    const ULONG64 Buffer = (ULONG64)KdDumpBuffer, BufferEnd = Buffer + sizeof(KdDumpBuffer);
    if (Va >= Buffer && Va < BufferEnd) {
        return (MM_DUMP_PAGE){.Reason = KdDumpOwnBuffer, .Pages = (BufferEnd - Va) >> PAGE_SHIFT};
    }
    MM_DUMP_PAGE Page = MmQueryDumpPage(Va, Region);
    ULONG64 Limit = Va < Buffer ? Lesser(Buffer, Region->End) : Region->End;
    Page.Pages = Lesser(Page.Pages, (Limit - Va) >> PAGE_SHIFT);
    return Page;
}

static BOOLEAN Continues(const KD_DUMP_LEFT_OUT *Range, const MM_DUMP_PAGE *Page) {
    return Page->Reason == Range->Reason &&
           (Page->Reason != KdDumpPagedOut || Page->Slot == Range->Slot + ((Range->End - Range->Start) >> PAGE_SHIFT));
}

/* The next range of a region from *Va on; Range->End is 0 when there is none. */
static VOID WalkRegion(const MM_REGION *Region, ULONG64 *Va, KD_DUMP_LEFT_OUT *Range) {
    Range->End = 0;
    while (*Va < Region->End) {
        MM_DUMP_PAGE Page = QueryPage(*Va, Region);
        ULONG64 End = *Va + (Page.Pages << PAGE_SHIFT);
        if (Range->End == 0 && Page.Reason != KdDumpAbsent) {
            *Range = (KD_DUMP_LEFT_OUT){.Start = *Va, .End = End, .Reason = Page.Reason};
            Range->Slot = Page.Reason == KdDumpPagedOut ? (ULONG)Page.Slot : 0;
        } else if (Range->End != 0 && Continues(Range, &Page)) {
            Range->End = End;
        } else if (Range->End != 0) {
            return;
        }
        *Va = End;
    }
}

static const MM_REGION_KIND Worth[] = {RegionKernelImage, RegionDriverImages, RegionStacks, RegionNonPagedPool};

/* The Index-th region to dump: those of worth, then the others in ascending order; NULL: there is none left. */
static const MM_REGION *RegionToDump(ULONG Index) {
    ULONG Count, Place = 0;
    const MM_REGION *Regions = MmGetRegions(&Count);
    for (ULONG Rank = 0; Rank <= RTL_NUMBER_OF(Worth); Rank++) {
        for (ULONG i = 0; i < Count; i++) {
            ULONG Its = 0;
            while (Its < RTL_NUMBER_OF(Worth) && Worth[Its] != Regions[i].Kind) {
                Its++;
            }
            if (Its == Rank && Place++ == Index) {
                return &Regions[i];
            }
        }
    }
    return NULL;
}

static BOOLEAN NextFull(KD_DUMP_CURSOR *Cursor, KD_DUMP_LEFT_OUT *Range) {
    const MM_REGION *Region;
    for (; (Region = RegionToDump(Cursor->Region)) != NULL; Cursor->Region++, Cursor->Va = 0) {
        if (Cursor->Va == 0) {
            Cursor->Va = Region->Start;
        }
        WalkRegion(Region, &Cursor->Va, Range);
        if (Range->End != 0) {
            return TRUE;
        }
    }
    return FALSE;
}

/* The part of a full dump's range that is chosen, or the part before it that is not. */
static VOID TakePart(KD_DUMP_CURSOR *Cursor, KD_DUMP_LEFT_OUT *Range) {
    ULONG64 Start, End;
    *Range = Cursor->Found;
    Range->Start = Cursor->Within;
    if (Range->Reason == KdDumpPresent) {
        BOOLEAN IsAny = KdFindChosen(Range->Start, Range->End, &Start, &End);
        if (IsAny && Start == Range->Start) {
            Range->End = End;
        } else {
            Range->Reason = KdDumpNotChosen;
            Range->End = IsAny ? Start : Range->End;
        }
    }
    Cursor->Within = Range->End;
}

BOOLEAN KdNextDumpRange(KD_DUMP_CURSOR *Cursor, ULONG Level, KD_DUMP_LEFT_OUT *Range) {
    if (Level == KdDumpFull) {
        return NextFull(Cursor, Range);
    }
    if (Cursor->Within >= Cursor->Found.End) {
        if (!NextFull(Cursor, &Cursor->Found)) {
            return FALSE;
        }
        Cursor->Within = Cursor->Found.Start;
    }
    TakePart(Cursor, Range);
    return TRUE;
}

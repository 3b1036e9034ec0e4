/* pooltag.c: allocations, frees and bytes of each pool tag. A table without a lock, in nonpaged memory.
 *
 * An entry is claimed once, by a compare-and-swap on its tag, and never given back; so a reader that finds the tag may
 * use the entry at any IRQL. When the table is full, one entry counts for all tags that found no room.
 */
#include <kd.h>
#include "pool.h"

volatile ULONG MiPoolTag[POOL_TAGS] = {[POOL_TAG_OTHERS] = 0xFFFFFFFF};
POOL_USE MiPoolUse[2][POOL_TAGS];

/* Claims an entry for a tag that is not where its hash points. Any IRQL, no locks. Returns its index. */
ULONG MiInsertPoolTag(ULONG Tag) {
    for (ULONG Probe = 0, Index = MiHashPoolTag(Tag); Probe < POOL_TAGS; Probe++, Index = (Index + 1) % POOL_TAGS) {
        LONG Found = InterlockedCompareExchange((volatile LONG *)&MiPoolTag[Index], (LONG)Tag, 0);
        if (Found == 0 || (ULONG)Found == Tag) {
            return Index;
        }
    }
    return POOL_TAG_OTHERS;
}

static VOID FormatTag(ULONG Tag, CHAR Text[5]) {
    for (int Byte = 0; Byte < 4; Byte++) {
        CHAR Character = (CHAR)((Tag & ~PROTECTED_POOL) >> (8 * Byte));
        Text[Byte] = Character >= 0x20 && Character <= 0x7E ? Character : ' ';
    }
    Text[4] = 0;
}

static VOID PrintUse(PCSTR Name, const POOL_USE *NonPaged, const POOL_USE *Paged) {
    KdPrintf("  %-5s %9lld %9lld %11lld   %9lld %9lld %11lld\n", Name, NonPaged->Allocs,
             NonPaged->Allocs - NonPaged->Frees, NonPaged->Bytes, Paged->Allocs, Paged->Allocs - Paged->Frees,
             Paged->Bytes);
}

static VOID AddUse(POOL_USE *Sum, const POOL_USE *Use) {
    Sum->Allocs += Use->Allocs;
    Sum->Frees += Use->Frees;
    Sum->Bytes += Use->Bytes;
}

/* Prints a line for each tag, as the debugger's !poolused does. Any IRQL; the numbers are those of one instant each. */
VOID MmPrintPoolUsage(VOID) {
    POOL_USE Total[2] = {0};
    KdPrintf("  Tag           Nonpaged                          Paged\n"
             "          Allocs    In use       Bytes      Allocs    In use       Bytes\n");
    for (ULONG Index = 0; Index < POOL_TAGS; Index++) {
        const POOL_USE *NonPaged = &MiPoolUse[0][Index], *Paged = &MiPoolUse[1][Index];
        CHAR Name[5] = "(..)";
        if (NonPaged->Allocs == 0 && Paged->Allocs == 0) {
            continue;
        }
        if (Index != POOL_TAG_OTHERS) {
            FormatTag(MiPoolTag[Index], Name);
        }
        PrintUse(Name, NonPaged, Paged);
        AddUse(&Total[0], NonPaged);
        AddUse(&Total[1], Paged);
    }
    PrintUse("TOTAL", &Total[0], &Total[1]);
}

/* What one tag holds in the nonpaged or the paged pools. Any IRQL. */
VOID MmQueryPoolTag(ULONG Tag, BOOLEAN IsPaged, MM_POOL_TAG_USE *Use) {
    const POOL_USE *Counted = &MiPoolUse[IsPaged][MiFindPoolTag(Tag)];
    Use->Allocs = (ULONG64)Counted->Allocs;
    Use->Frees = (ULONG64)Counted->Frees;
    Use->Bytes = (ULONG64)Counted->Bytes;
}

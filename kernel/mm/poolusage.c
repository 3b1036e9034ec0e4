/* poolusage.c: the pool's use: a line for each tag, as the debugger prints it. */
#include <kd.h>
#include "pool.h"

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

/* One tag's use of the nonpaged or the paged pools. Any IRQL. */
VOID MmQueryPoolTag(ULONG Tag, BOOLEAN IsPaged, MM_POOL_TAG_USE *Use) {
    const POOL_USE *Counted = &MiPoolUse[IsPaged][MiFindPoolTag(Tag)];
    Use->Allocs = (ULONG64)Counted->Allocs;
    Use->Frees = (ULONG64)Counted->Frees;
    Use->Bytes = (ULONG64)Counted->Bytes;
}

/* statistics.c: the memory manager's numbers, for people and tests. */
#include "mi.h"

MM_STATISTICS MiCounters;

/* See mm.h: read without the lock, each number true by itself. Any IRQL. */
VOID MmQueryStatistics(MM_STATISTICS *Statistics) {
    *Statistics = MiCounters;
    Statistics->TotalPages = MiTotalPages;
    Statistics->AvailablePages = MiAvailablePages;
    Statistics->ZeroedPages = MiZeroedList.Count;
    Statistics->FreePages = MiFreeList.Count;
    Statistics->StandbyPages = MiStandbyList.Count;
    Statistics->ModifiedPages = MiModifiedList.Count;
    Statistics->PagedPoolResidentPages = MiResidentPages;
    Statistics->PageFileSlots = MiSlotCount;
    Statistics->PageFileUsed = MiSlotsUsed;
}

/* bigpoolgrow.c: a larger table of pool allocations of whole pages, before the one in use is full.
 *
 * The old table is never given back, so that a dying CPU may read any table that it finds without a lock. All old ones
 * together are smaller than the one in use. */
#include "pool.h"
#include <ring.h>

/* A table of twice the size, or NULL. The table itself is in front of its entries. No lock held. */
static POOL_BIG_TABLE *AllocateTable(ULONG Entries) {
    SIZE_T Bytes = sizeof(POOL_BIG_TABLE) + Entries * sizeof(POOL_BIG_PAGE);
    POOL_BIG_TABLE *New = MiGetHeapPages(&MiPoolHeap[POOL_HEAP_NX], BYTES_TO_PAGES(Bytes));
    if (New != NULL) {
        memset(New, 0, Bytes);
        New->Entries = Entries;
        New->Entry = (POOL_BIG_PAGE *)(New + 1);
    }
    return New;
}

/* Moves the entries to a table with room. FALSE: no memory. */
static BOOLEAN GrowTable(ULONG SeenEntries) {
    POOL_BIG_TABLE *New = AllocateTable(SeenEntries * 2);
    KIRQL OldIrql;
    if (New == NULL) {
        return FALSE;
    }
    KeAcquireSpinLock(&MiBigPoolLock, &OldIrql);
    POOL_BIG_TABLE *Old = MiBigTable;
    BOOLEAN IsFirst = Old->Entries == SeenEntries; /* otherwise another CPU has grown it meanwhile */
    if (IsFirst) {
        for (ULONG Index = 0; Index < Old->Entries; Index++) {
            if (Old->Entry[Index].Va > POOL_BIG_DELETED) {
                MiInsertBigPage(New, &Old->Entry[Index]);
            }
        }
        __atomic_store_n(&MiBigTable, New, __ATOMIC_RELEASE);
    }
    KeReleaseSpinLock(&MiBigPoolLock, OldIrql);
    if (!IsFirst) {
        MiReleaseHeapPages(New, BYTES_TO_PAGES(sizeof(POOL_BIG_TABLE) + New->Entries * sizeof(POOL_BIG_PAGE)));
    }
    return TRUE;
}
KE_ATTACH(MiGrowBigTable, GrowTable);

/* pooltag.c: allocations, frees and bytes of each pool tag. A table without a lock, in nonpaged memory.
 *
 * An entry is claimed once, by a compare-and-swap on its tag, and never given back; so a reader that finds the tag may
 * use the entry at any IRQL. When the table is full, one entry counts for all tags that found no room.
 */
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

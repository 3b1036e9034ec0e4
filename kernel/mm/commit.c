/* commit.c: the promise that every page handed out has a place to go to, so that paging cannot wedge.
 *
 * A page is charged when it is promised (pool allocated, stack made), not when it is touched. The limit is what RAM and the page
 * file hold together, less a reserve. Why that is enough: let R be the frames, S the slots, N the pages that stay resident and P the
 * pageable ones; N + P <= R + S - reserve. A modified page that finds no free slot takes one from a clean resident page
 * (pagefile.c), so when none is left all S slots belong to pages that need no frame. At most P - S pageable pages need one
 * then, and R - N - (P - S) >= reserve frames are available: a fault proceeds. Otherwise there is a slot, and the writer proceeds. */
#include "mi.h"

ULONG64 MiCommitLimit, MiCommittedPages;

/* FALSE when the promise could not be kept. MmPfnLock held. */
BOOLEAN MiChargeCommit(ULONG64 Pages) {
    if (Pages > MiCommitLimit || MiCommittedPages > MiCommitLimit - Pages) {
        return FALSE;
    }
    MiCommittedPages += Pages;
    return TRUE;
}

/* MmPfnLock held. */
VOID MiReturnCommit(ULONG64 Pages) {
    NT_ASSERT(Pages <= MiCommittedPages);
    MiCommittedPages -= Pages;
}

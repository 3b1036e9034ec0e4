/* commit.c: the promise that every page handed out has a place to go to, so that paging cannot wedge.
 *
 * A page is charged when it is promised (pool allocated, stack made), not when it is touched. Let R be the frames, S
 * the slots of the page file, N the promised pages that stay resident and P the pageable ones. Two limits, each with
 * a reserve r:
 *
 *      N <= R - r             resident pages leave room to page in
 *      N + P <= R + S - r     and every pageable page has a frame or a slot
 *
 * Why that is enough for a fault to proceed in the end: a dirty page that finds no free slot takes one from a clean
 * resident page (MiRefillSlots). So either the writer finds slots, and frees frames until R - N >= r of them are
 * available; or all S slots belong to pages that need no frame. At most P - S pages need one then, and at least
 * R - N - (P - S) >= r frames are available. r is larger than MI_RESERVED_PAGES and what faults in progress hold. */
#include "mi.h"

ULONG64 MiCommitLimit, MiCommittedPages, MiResidentLimit, MiResidentCommit;

/* FALSE when the promise could not be kept. MmPfnLock held. */
BOOLEAN MiChargeCommit(ULONG64 Pages, BOOLEAN IsResident) {
    if (Pages > MiCommitLimit || MiCommittedPages > MiCommitLimit - Pages) {
        return FALSE;
    }
    if (IsResident) {
        if (Pages > MiResidentLimit || MiResidentCommit > MiResidentLimit - Pages) {
            return FALSE;
        }
        MiResidentCommit += Pages;
    }
    MiCommittedPages += Pages;
    return TRUE;
}

/* MmPfnLock held. */
VOID MiReturnCommit(ULONG64 Pages, BOOLEAN IsResident) {
    NT_ASSERT(Pages <= MiCommittedPages && (!IsResident || Pages <= MiResidentCommit));
    MiCommittedPages -= Pages;
    MiResidentCommit -= IsResident ? Pages : 0;
}

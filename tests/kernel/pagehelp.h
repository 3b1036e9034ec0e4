/* pagehelp.h: helpers of the memory manager's tests: bringing a page into each state, holding the disk, small
 * machines. */
#ifndef _PAGEHELP_H_
#define _PAGEHELP_H_

#include "../../kernel/mm/mi.h"
#include "ktest.h"

static FORCEINLINE MM_PAGE_STATE PageState(PVOID Va) {
    return MmGetPageState((ULONG64)Va, NULL);
}
/* A counter, read here and not where the compiler would like to. */
static FORCEINLINE ULONG64 Counter(const ULONG64 *Value) {
    return *(const volatile ULONG64 *)Value;
}
PMMPFN PagePfn(PVOID Va);            /* of a valid or transition PTE */
VOID PageOut(PVOID Va, ULONG Pages); /* to the page file, the frame given away */

/* Walks the PFN database: each list has as many frames as say they are in it, linked both ways; the sums are right. */
VOID PageCheckLists(VOID);

/* A disk between the page file and the real one: transfers stop in it, or fail, until the test says otherwise. */
VOID DiskAttach(VOID);
VOID DiskDetach(VOID); /* releases the held transfers */
VOID DiskHold(BOOLEAN Reads, BOOLEAN Writes);
ULONG DiskHeld(VOID);
VOID DiskRelease(VOID);                          /* passes the held transfers on and holds no more */
VOID DiskFail(ULONG Transfers, NTSTATUS Status); /* so many of the next ones end with Status */
ULONG DiskFailedSlot(VOID);                      /* of the last one that failed so */

/* Makes the machine small: resident pool takes all but about Leave pages, and the trimmer's marks shrink with it. */
BOOLEAN SmallMachine(ULONG Leave);
VOID SmallMachineEnd(VOID);

/* Threads that write to Pages pages in random order and check each page's contents before. */
#define STRESS_THREADS 4
VOID PageStress(PUCHAR Base, ULONG Pages, ULONG Rounds, ULONG64 Salt);

#endif

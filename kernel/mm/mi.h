/* mi.h: the memory manager's shared declarations: page frames, their lists, PTE forms, one lock.
 *
 * The life of a pageable page. Every arrow is taken under MmPfnLock; A and D are the accessed and dirty bits that the
 * CPU sets behind our back.
 *
 *      PTE: demand-zero --first touch--> valid (A D) --trim--> transition --repurposed--> page file (slot)
 *                                          ^                     |                             |
 *                                          +------ soft fault ---+                             |
 *                                          +------------------ read, then hard fault ends -----+
 *
 *      frame: Active  --trim, dirty or without a slot--> Modified --write starts--> Transition (HasWrite)
 *             Active  --trim, clean with a slot--------> Standby                        |
 *             Modified, Standby, Transition --soft fault--> Active                      | write done
 *             Transition --not dirtied since--> Standby <-------------------------------+
 *             Transition --dirtied and trimmed again--> Modified
 *             Standby --repurposed--> its new owner         Free --zero-page thread--> Zeroed
 *             page file --fault--> Transition (HasRead) --read done--> Active
 *
 * Invariants, all under MmPfnLock:
 *  I1  A page is dirty when its PTE has D or its PFN has IsModified. If it is not dirty and has a slot (OriginalPte),
 *      the slot holds its contents, or a write that will put them there is in flight (HasWrite).
 *  I2  IsModified is cleared when a write starts, not when it ends. The page is unmapped then, so a change to it
 *      later goes through a PTE that was made after that, and sets its D bit: no change during the write is lost.
 *  I3  A page with HasWrite or HasRead is in no list: no second transfer of it starts, and it is not repurposed.
 *  I4  A page enters a list only after KeFlushTb: no CPU can reach it through an old translation.
 *  I5  A frame whose owner frees the address while a transfer is in flight is marked IsDeleted, and its PTE is already
 *      zero; the end of the transfer frees the frame and the slot.
 *  I6  What is promised fits into frames and slots, less a reserve (commit.c): each page has a place to go to. */
#ifndef _MI_H_
#define _MI_H_

#include <ring.h>
#include <mm.h>
#include <block.h>
#include <bootinfo.h>

/* ---- Pages for the pools (mapping.c) -----------------------------------------------------------------------------
 * Page-granular address space with memory behind it. Charges commit; NULL when address space, commit or RAM is out.
 * Nonpaged (<= DISPATCH_LEVEL): resident pages, contents undefined, no-execute unless IsExecutable. The kernel is W^X
 *   everywhere but here: a driver that asks for executable pool gets writable and executable pages, as on Windows.
 * Paged (<= APC_LEVEL): demand-zero PTEs; each page reads as zeros at its first touch.
 * Lock order: both calls take MmPfnLock (RANK_PFN), which is below RANK_POOL: call them with no pool lock held. */
PVOID MiAllocatePoolPages(BOOLEAN IsPaged, ULONG Pages, BOOLEAN IsExecutable);
VOID MiInitializePool(VOID);                 /* pool.c: boot CPU, once, when these two calls work */
VOID MiFreePoolPages(PVOID Va, ULONG Pages); /* the whole of one allocation; the kind follows from the address */

/* ---- Page frames (pfn.c) ---- */
enum {
    LocationZeroed = 0,
    LocationFree = 1,
    LocationStandby = 2,
    LocationModified = 3,
    LocationBad = 5,
    LocationActive = 6,
    LocationTransition = 7
};

struct _MI_INPAGE;

typedef struct _MMPFN {
    union {
        ULONG64 Next;              /* frame number of the next page of its list, MI_END at the end */
        struct _MI_INPAGE *InPage; /* HasRead: the read in progress */
        ULONG64 RunPages;          /* first page of a contiguous allocation: its length */
    };
    volatile MMPTE *PteAddress; /* the one PTE that maps or remembers a pageable page */
    ULONG64 Previous;
    UCHAR Location;
    BOOLEAN IsPageable;
    BOOLEAN IsModified;
    BOOLEAN HasRead;
    BOOLEAN HasWrite;
    BOOLEAN IsDeleted;
    USHORT LockCount;  /* not trimmed, and not to be freed, while not 0 (lockpages.c) */
    MMPTE OriginalPte; /* page-file slot in bits 32-63, or 0: the PTE's form when the frame is repurposed */
    ULONG64 Reserved1;
} MMPFN, *PMMPFN;
C_ASSERT(sizeof(MMPFN) == 0x30);

typedef struct _MI_PAGE_LIST {
    ULONG64 First, Last;
    ULONG64 Count;
    UCHAR Location;
} MI_PAGE_LIST;

#define MI_END (~0ULL)
#define MI_PFN_DATABASE ((PMMPFN)MM_PFN_DATABASE)

extern KSPIN_LOCK MmPfnLock;
extern MI_PAGE_LIST MiZeroedList, MiFreeList, MiStandbyList, MiModifiedList;
extern ULONG64 MiAvailablePages; /* zeroed + free + standby */
extern ULONG64 MiTotalPages;     /* frames that the lists may hold: RAM without image, archive, start-up */
extern ULONG64 MiLowestFrame, MiHighestFrame;
extern ULONG64 MiLowPages;      /* below this the trimmer is woken */
extern ULONG64 MiHighPages;     /* it trims until this many are available or on their way */
extern ULONG64 MiResidentPages; /* pageable pages with a valid PTE */
#define MI_RESERVED_PAGES 24    /* only the page-out threads go below this */

static FORCEINLINE PMMPFN MiGetPfn(ULONG64 Frame) {
    return MI_PFN_DATABASE + Frame;
}
static FORCEINLINE ULONG64 MiGetFrame(PMMPFN Pfn) {
    return (ULONG64)(Pfn - MI_PFN_DATABASE);
}

/* MmPfnLock from any level up to HIGH_LEVEL, because the boot CPU starts there; returns the level to go back to. */
static FORCEINLINE KIRQL MiAcquirePfnLock(VOID) {
    KIRQL OldIrql = KiCurrentIrql();
    if (OldIrql < DISPATCH_LEVEL) {
        return KeAcquireSpinLockRaiseToDpc(&MmPfnLock);
    }
    KeAcquireSpinLockAtDpcLevel(&MmPfnLock);
    return OldIrql;
}
static FORCEINLINE VOID MiReleasePfnLock(KIRQL OldIrql) {
    if (OldIrql < DISPATCH_LEVEL) {
        KeReleaseSpinLock(&MmPfnLock, OldIrql);
    } else {
        KeReleaseSpinLockFromDpcLevel(&MmPfnLock);
    }
}

/* All under MmPfnLock. */
VOID MiInsertPage(MI_PAGE_LIST *List, PMMPFN Pfn); /* at the end */
VOID MiUnlinkPage(PMMPFN Pfn);                     /* from the list that its Location names */
/* A page for a new owner, LocationActive; 0 when there is none to be had now. Prefers zeroed pages when WantsZero,
 * free ones otherwise, then repurposes standby pages. IsZeroed tells what it is. Wakes the trimmer when pages run
 * low. */
ULONG64 MiTakePage(BOOLEAN WantsZero, PBOOLEAN IsZeroed);
VOID MiGivePage(PMMPFN Pfn, BOOLEAN IsZeroed); /* to the free or zeroed list; wakes those who wait for a page */
VOID MiTakeFrame(PMMPFN Pfn);                  /* an available one; active then, in no list, without an address */
VOID MiRepurposeStandbyPage(PMMPFN Pfn);       /* off the standby list; its PTE becomes the page-file form */
VOID MiDeletePage(PMMPFN Pfn);                 /* frees slot and frame, now or when its transfer ends */
VOID MiRetirePage(PMMPFN Pfn);                 /* just trimmed and flushed: to the modified or standby list */
/* The wait for a page: MiPreparePageWait under the lock, MiWaitForPage after its release, at <= APC_LEVEL. */
VOID MiPreparePageWait(VOID);
VOID MiWaitForPage(VOID);
VOID MiSignalPageWaiters(VOID); /* under the lock; also when another scarce thing has become free */
VOID MiInitializePageEvents(VOID);

/* The RAM that the database covers: sorted runs of frames, [First, End). Constant after start. */
typedef struct _MI_RAM_RUN {
    ULONG64 First, End;
} MI_RAM_RUN;
extern MI_RAM_RUN MiRam[BOOT_MAXIMUM_RANGES];
extern ULONG MiRamRuns;
BOOLEAN MiIsRamFrame(ULONG64 Frame); /* has an MMPFN */
ULONG64 MiNextFrame(ULONG64 Frame);  /* the next one that has, round to the first */

VOID MiZeroFrame(ULONG64 Frame); /* any IRQL, no lock */

/* ---- Locked pages (lockpages.c) ---- */
ULONG64 MiLockPage(ULONG64 Va); /* faults the page in; 0: no RAM is mapped there */
VOID MiUnlockPage(ULONG64 Frame, BOOLEAN WasWritten);

/* ---- Commit (commit.c): under MmPfnLock ---- */
extern ULONG64 MiCommitLimit, MiCommittedPages;
extern ULONG64 MiResidentLimit, MiResidentCommit; /* the part that is never paged out */
BOOLEAN MiChargeCommit(ULONG64 Pages, BOOLEAN IsResident);
VOID MiReturnCommit(ULONG64 Pages, BOOLEAN IsResident);

/* ---- Address space (range.c): which pages of a region are given out. <= DISPATCH_LEVEL (HIGH_LEVEL at start) ---- */
typedef struct _MI_RANGE {
    ULONG64 Start;
    ULONG64 Pages;
    ULONG64 *Bitmap;     /* a set bit is a page given out */
    ULONG64 Hint;        /* no free page lies below (or, ReusesLate: where the next search begins) */
    ULONG64 HighestUsed; /* in pages from Start: nothing at or above has ever been given out */
    BOOLEAN ReusesLate;  /* a released address is given out again only after all others */
} MI_RANGE;
extern MI_RANGE MiNonPagedRange, MiPagedRange, MiSystemRange, MiImageRange, MiStackRange;
/* Ranges of addresses whose pages may be trimmed (trim.c). */
#define MI_PAGEABLE_RANGE(Range_) static MI_RANGE *const Range_##Row KE_ROW(".pageable") = &Range_
extern MI_RANGE *const MiPageableRanges[], *const MiPageableRangesEnd[];
ULONG64 MiReserveRange(MI_RANGE *Range, ULONG64 Pages); /* 0: no room */
VOID MiReleaseRange(MI_RANGE *Range, ULONG64 Va, ULONG64 Pages);

/* ---- Page tables (address.c, mapping.c) ---- */
/* The entry that translates Va, or the first one above it that is not valid. Level: 1 PTE, 2 PDE, 3 PPE, 4 PXE; a
 * valid entry at level 2 or 3 is a large page. Non-canonical: level 0. Any IRQL, no locks, never faults: page tables
 * are never freed. */
MMPTE MiReadPte(ULONG64 Va, ULONG *Level);
BOOLEAN MiMakePageTables(ULONG64 Va, ULONG64 Pages); /* under MmPfnLock; FALSE: no memory */
/* Resident pages behind a reserved range. <= DISPATCH_LEVEL, no lock held. Charges commit. All or nothing. */
BOOLEAN MiMapResidentPages(ULONG64 Va, ULONG64 Pages, MMPTE Bits, BOOLEAN WantsZero);
/* Demand-zero PTEs behind a reserved range. Charges commit. */
BOOLEAN MiMapDemandZeroPages(ULONG64 Va, ULONG64 Pages);
/* Takes back pages of either kind, with commit; the range stays reserved. */
VOID MiUnmapPages(ULONG64 Va, ULONG64 Pages);
VOID MiFlushTb(ULONG64 Va, ULONG64 Pages); /* KeFlushTb, or the boot CPU alone before there are others */

#define MI_FLUSH_BATCH 32 /* PTEs changed per TLB shoot-down and lock hold */

/* ---- PTE forms ---- */
#define MI_PROTECTION_MASK (0x1FULL << PTE_PROTECTION_SHIFT)
#define MI_TABLE_BITS (PTE_VALID | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY)
#define MI_DATA_BITS (PTE_VALID | PTE_WRITE | PTE_NX | PTE_ACCESSED | PTE_DIRTY)
#define MI_DEMAND_ZERO ((MMPTE)MM_READWRITE << PTE_PROTECTION_SHIFT)

static FORCEINLINE ULONG64 MiGetPteFrame(MMPTE Pte) {
    return (Pte & PTE_FRAME) >> PAGE_SHIFT;
}
static FORCEINLINE ULONG64 MiGetPteVa(volatile MMPTE *Pte) {
    return (ULONG64)((LONG64)((ULONG64)Pte << 25) >> 16);
}
static FORCEINLINE ULONG MiGetPteSlot(MMPTE Pte) {
    return (ULONG)(Pte >> PTE_PAGEFILE_SHIFT);
}
/* The protection bits (5-9) that a PTE which is not valid keeps for a valid one. */
static FORCEINLINE MMPTE MiSaveProtection(MMPTE Valid) {
    ULONG Protection = Valid & PTE_WRITE ? MM_READWRITE : Valid & PTE_NX ? MM_READONLY : MM_EXECUTE_READ;
    return (MMPTE)Protection << PTE_PROTECTION_SHIFT;
}
/* The hardware bits for the protection bits of a PTE that is not valid. There is no writable and executable one. */
static FORCEINLINE MMPTE MiProtectionToHardware(ULONG Protection) {
    return Protection == MM_READWRITE ? PTE_WRITE | PTE_NX : Protection == MM_READONLY ? PTE_NX : 0;
}
static FORCEINLINE MMPTE MiMakeValidPte(ULONG64 Frame, MMPTE Invalid) {
    ULONG Protection = (ULONG)((Invalid & MI_PROTECTION_MASK) >> PTE_PROTECTION_SHIFT);
    return Frame << PAGE_SHIFT | PTE_VALID | PTE_ACCESSED | MiProtectionToHardware(Protection);
}
static FORCEINLINE MMPTE MiMakeTransitionPte(ULONG64 Frame, MMPTE Protection) {
    return Frame << PAGE_SHIFT | PTE_TRANSITION | (Protection & MI_PROTECTION_MASK);
}

/* A view of a cached page (view.c): as on NT, the prototype's address in bits 16-63. */
static FORCEINLINE MMPTE MiMakePrototypePte(MMPTE *Prototype) {
    return (MMPTE)Prototype << 16 | PTE_PROTOTYPE | (MMPTE)MM_READONLY << PTE_PROTECTION_SHIFT;
}
static FORCEINLINE MMPTE *MiGetPrototype(MMPTE Pte) {
    return (MMPTE *)((LONG64)Pte >> 16);
}

/* ---- Page-in (pagein.c) ---- */
/* One read in progress, shared by all who fault on its page. References, IsFinished and the list under MmPfnLock. */
typedef struct _MI_INPAGE {
    KEVENT Event; /* notification: the device is done */
    BLOCK_REQUEST Request;
    PMMPFN Pfn;
    MMPTE Contents; /* the page-file PTE that is being resolved */
    ULONG References;
    BOOLEAN IsFinished; /* the first one that woke up has set the PTE */
    struct _MI_INPAGE *Next;
} MI_INPAGE;
/* Resolves a fault on a PTE that is neither valid nor zero. <= APC_LEVEL, no lock; may wait. On return the
 * instruction is tried again. Does not return when the page cannot be read (0x7A). */
VOID MiResolveFault(PKTRAP_FRAME TrapFrame, ULONG64 Va, volatile MMPTE *Pte);
VOID MiInitializePageIn(VOID);

/* ---- Page file (pagefile.c) ---- */
NTSTATUS MiOpenPageFile(VOID);     /* PASSIVE_LEVEL */
ULONG MiAllocateSlot(VOID);        /* under MmPfnLock; 0: full */
VOID MiFreeSlot(ULONG Slot);       /* under MmPfnLock */
VOID MiAbandonSlot(VOID);          /* under MmPfnLock: the one just tried cannot be written */
ULONG MiRefillSlots(ULONG Wanted); /* no lock: takes slots back from clean resident pages */
/* Starts a transfer of one page; Request->Complete and Context are the caller's. <= DISPATCH_LEVEL, no lock held. */
VOID MiStartTransfer(PBLOCK_REQUEST Request, ULONG Slot, ULONG64 Frame, BOOLEAN IsWrite);
extern ULONG64 MiSlotCount, MiSlotsUsed; /* slot 0 is not counted */
extern BOOLEAN MiHasPageFile;

/* ---- Trimmer and writer (trim.c, pageout.c, zeropage.c) ---- */
extern KEVENT MiTrimEvent, MiWriterEvent, MiZeroEvent;
extern BOOLEAN MiIsTrimWanted, MiIsZeroWanted; /* under MmPfnLock: the event is set already */
extern PKTHREAD MiTrimThread, MiWriterThread;
NTSTATUS MiStartTrimmer(VOID);
NTSTATUS MiStartWriter(VOID);
NTSTATUS MiStartZeroThread(VOID);
VOID MiWakeWriter(VOID);
#define MI_ZEROED_TARGET 512 /* pages that the zero-page thread keeps ready, fewer on a small machine */
extern ULONG64 MiZeroedTarget;

/* ---- Counters (pfn.c): under MmPfnLock, read without it ---- */
extern MM_STATISTICS MiCounters;

/* ---- Mappings of system PTEs (systempte.c) ---- */
#define PTE_NO_IO_MAPPING 0x400                 /* sub-code of SYSTEM_PTE_MISUSE */
BOOLEAN MiIsMapping(ULONG64 Va, ULONG64 Pages); /* one that was made, of that length. <= DISPATCH_LEVEL */

/* ---- Runs of frames (contiguous.c) ---- */
/* Where a run may lie: between two frames, both included, and across no multiple of Boundary frames (0: any). */
typedef struct _MI_RUN_LIMITS {
    ULONG64 Lowest, Highest, Boundary;
} MI_RUN_LIMITS;
ULONG64 MiTakeRun(ULONG64 Count, const MI_RUN_LIMITS *Limits); /* the first frame, 0: none. <= DISPATCH_LEVEL */
ULONG64 MiHighestFrameBelow(ULONG64 Highest);                  /* that ends at or below a physical address */

#endif

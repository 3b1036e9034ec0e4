/* pagehelp.c: see pagehelp.h. */
#include "pagehelp.h"
#include <io.h>

PMMPFN PagePfn(PVOID Va) {
    return MiGetPfn(MiGetPteFrame(*MiGetPteAddress((ULONG64)Va)));
}

VOID PageOut(PVOID Va, ULONG Pages) {
    MmTrimRange(Va, (SIZE_T)Pages * PAGE_SIZE);
    MmFlushModifiedPages();
    MmPurgeStandby();
}

/* ---- The lists ---- */

static ULONG64 WalkList(const MI_PAGE_LIST *List) {
    ULONG64 Count = 0, Previous = MI_END;
    for (ULONG64 Frame = List->First; Frame != MI_END; Frame = MiGetPfn(Frame)->Next) {
        KT_EXPECT_EQ(MiGetPfn(Frame)->Location, List->Location);
        KT_EXPECT_EQ(MiGetPfn(Frame)->Previous, Previous);
        Previous = Frame;
        Count++;
    }
    KT_EXPECT_EQ(List->Last, Previous);
    KT_EXPECT_EQ(List->Count, Count);
    return Count;
}

/* A page that is mapped or remembered is so by the PTE that its MMPFN names. */
static BOOLEAN IsPfnSound(PMMPFN Pfn) {
    BOOLEAN IsInUse = Pfn->Location == LocationActive || Pfn->Location == LocationTransition ||
                      Pfn->Location == LocationStandby || Pfn->Location == LocationModified;
    if (!IsInUse || !Pfn->IsPageable || Pfn->IsDeleted) {
        return TRUE;
    }
    MMPTE Pte = *Pfn->PteAddress;
    BOOLEAN IsForm =
        Pfn->Location == LocationActive ? (Pte & PTE_VALID) != 0 : !(Pte & PTE_VALID) && Pte & PTE_TRANSITION;
    return IsForm && MiGetPteFrame(Pte) == MiGetFrame(Pfn);
}

VOID PageCheckLists(VOID) {
    ULONG64 Of[LocationTransition + 1] = {0}, Unsound = 0, Resident = 0;
    KIRQL OldIrql = MiAcquirePfnLock();
    for (ULONG Run = 0; Run < MiRamRuns; Run++) {
        for (ULONG64 Frame = MiRam[Run].First; Frame < MiRam[Run].End; Frame++) {
            Of[MiGetPfn(Frame)->Location]++;
            Unsound += !IsPfnSound(MiGetPfn(Frame));
            Resident += MiGetPfn(Frame)->IsPageable && MiGetPfn(Frame)->Location == LocationActive;
        }
    }
    KT_EXPECT_EQ(Of[LocationZeroed], WalkList(&MiZeroedList));
    KT_EXPECT_EQ(Of[LocationFree], WalkList(&MiFreeList));
    KT_EXPECT_EQ(Of[LocationStandby], WalkList(&MiStandbyList));
    KT_EXPECT_EQ(Of[LocationModified], WalkList(&MiModifiedList));
    KT_EXPECT_EQ(MiAvailablePages, Of[LocationZeroed] + Of[LocationFree] + Of[LocationStandby]);
    KT_EXPECT_EQ(MiResidentPages, Resident);
    KT_EXPECT_EQ(Unsound, 0);
    MiReleasePfnLock(OldIrql);
}

/* ---- The disk ---- */

#define MAXIMUM_HELD 128
static PBLOCK_DEVICE Disk;
static VOID (*RealSubmit)(PBLOCK_DEVICE Device, PBLOCK_REQUEST Request);
static KSPIN_LOCK HoldLock;
static BOOLEAN HoldsReads, HoldsWrites;
static ULONG FailuresLeft;
static NTSTATUS FailureStatus;
static ULONG64 FailedSector;
static PBLOCK_REQUEST Held[MAXIMUM_HELD];
static ULONG HeldCount;

static VOID Submit(PBLOCK_DEVICE Device, PBLOCK_REQUEST Request) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&HoldLock, &OldIrql);
    BOOLEAN Holds = (Request->IsWrite ? HoldsWrites : HoldsReads) && HeldCount < MAXIMUM_HELD, Fails = FALSE;
    if (Holds) {
        Held[HeldCount++] = Request;
    } else if (FailuresLeft != 0) {
        FailuresLeft--;
        FailedSector = Request->Sector;
        Fails = TRUE;
    }
    KeReleaseSpinLock(&HoldLock, OldIrql);
    if (Fails) {
        Request->Status = FailureStatus;
        KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
        Request->Complete(Request);
        KeLowerIrql(OldIrql);
    } else if (!Holds) {
        RealSubmit(Device, Request);
    }
}

VOID DiskAttach(VOID) {
    Disk = IoGetBlockDevice(0);
    RealSubmit = Disk->Submit;
    __atomic_store_n(&Disk->Submit, Submit, __ATOMIC_SEQ_CST);
}

VOID DiskDetach(VOID) {
    __atomic_store_n(&Disk->Submit, RealSubmit, __ATOMIC_SEQ_CST);
    FailuresLeft = 0;
    DiskRelease();
}

VOID DiskHold(BOOLEAN Reads, BOOLEAN Writes) {
    HoldsReads = Reads;
    HoldsWrites = Writes;
}

ULONG DiskHeld(VOID) {
    return __atomic_load_n(&HeldCount, __ATOMIC_SEQ_CST);
}

VOID DiskRelease(VOID) {
    for (;;) {
        KIRQL OldIrql;
        KeAcquireSpinLock(&HoldLock, &OldIrql);
        HoldsReads = HoldsWrites = FALSE;
        PBLOCK_REQUEST Request = HeldCount == 0 ? NULL : Held[--HeldCount];
        KeReleaseSpinLock(&HoldLock, OldIrql);
        if (Request == NULL) {
            return;
        }
        RealSubmit(Disk, Request);
    }
}

VOID DiskFail(ULONG Transfers, NTSTATUS Status) {
    FailureStatus = Status;
    FailuresLeft = Transfers;
}

ULONG DiskFailedSlot(VOID) {
    return (ULONG)(FailedSector * BLOCK_SECTOR_SIZE / PAGE_SIZE);
}

/* ---- A small machine ---- */

#define HOG_CHUNK 16
typedef struct _HOG {
    struct _HOG *Next;
    ULONG Pages;
} HOG;
static HOG *Hogs;
static ULONG64 OldLowPages, OldHighPages;

static BOOLEAN TakeHog(ULONG Pages) {
    HOG *Hog = MiAllocatePoolPages(FALSE, Pages, FALSE);
    if (Hog != NULL) {
        Hog->Pages = Pages;
        Hog->Next = Hogs;
        Hogs = Hog;
    }
    return Hog != NULL;
}

BOOLEAN SmallMachine(ULONG Leave) {
    OldLowPages = MiLowPages;
    OldHighPages = MiHighPages;
    MiLowPages = 64;
    MiHighPages = 96;
    while (MiAvailablePages > Leave + HOG_CHUNK && TakeHog(HOG_CHUNK)) {
    }
    return MiAvailablePages <= Leave + HOG_CHUNK;
}

VOID SmallMachineEnd(VOID) {
    while (Hogs != NULL) {
        HOG *Hog = Hogs;
        Hogs = Hog->Next;
        MiFreePoolPages(Hog, Hog->Pages);
    }
    MiLowPages = OldLowPages;
    MiHighPages = OldHighPages;
}

/* ---- Stress ---- */

typedef struct _STRESS {
    KT_THREAD Thread;
    PUCHAR Base;
    ULONG Pages, Rounds;
    PUSHORT Version; /* nonpaged: how often the page has been written */
    ULONG64 Salt;
} STRESS;

#define WORDS_PER_PAGE (PAGE_SIZE / sizeof(ULONG64))
#define STRESS_STEP 61 /* words that are looked at: some at each end, and between */

static ULONG64 Word(const STRESS *Stress, ULONG Page, ULONG Index) {
    return (Stress->Salt << 48) ^ ((ULONG64)Page << 32) ^ ((ULONG64)Stress->Version[Page] << 12) ^ Index;
}

static BOOLEAN IsPageRight(const STRESS *Stress, ULONG Page) {
    const volatile ULONG64 *P = (const volatile ULONG64 *)(Stress->Base + (SIZE_T)Page * PAGE_SIZE);
    for (ULONG Index = 0; Index < WORDS_PER_PAGE; Index += STRESS_STEP) {
        if (P[Index] != (Stress->Version[Page] == 0 ? 0 : Word(Stress, Page, Index))) {
            return FALSE;
        }
    }
    return TRUE;
}

static VOID StressThread(PVOID Context) {
    STRESS *Stress = Context;
    KT_RANDOM Random;
    KtSeedRandom(&Random, Stress->Salt);
    for (ULONG Round = 0; Round < Stress->Pages + Stress->Rounds; Round++) {
        ULONG Page = Round < Stress->Pages ? Round : KtRandom(&Random, Stress->Pages);
        KT_EXPECT(IsPageRight(Stress, Page));
        if (Round < Stress->Pages || KtRandom(&Random, 2) == 0) {
            volatile ULONG64 *P = (volatile ULONG64 *)(Stress->Base + (SIZE_T)Page * PAGE_SIZE);
            Stress->Version[Page]++;
            for (ULONG Index = 0; Index < WORDS_PER_PAGE; Index += STRESS_STEP) {
                P[Index] = Word(Stress, Page, Index);
            }
        }
    }
}

static VOID CheckPages(const STRESS *Stress) {
    for (ULONG Page = 0; Page < Stress->Pages; Page++) {
        KT_EXPECT(IsPageRight(Stress, Page));
    }
}

VOID PageStress(PUCHAR Base, ULONG Pages, ULONG Rounds, ULONG64 Salt) {
    static STRESS Stress[STRESS_THREADS];
    ULONG Share = Pages / STRESS_THREADS;
    PUSHORT Version = ExAllocatePoolWithTag(NonPagedPoolNx, Pages * sizeof(USHORT), 'tseT');
    KT_REQUIRE(Version != NULL);
    memset(Version, 0, Pages * sizeof(USHORT));
    ULONG Started = 0;
    for (; Started < STRESS_THREADS; Started++) {
        Stress[Started].Base = Base + (SIZE_T)Started * Share * PAGE_SIZE;
        Stress[Started].Pages = Share;
        Stress[Started].Rounds = Rounds;
        Stress[Started].Version = Version + Started * Share;
        Stress[Started].Salt = Salt * STRESS_THREADS + Started + 1;
        if (!KtCreateThread(&Stress[Started].Thread, "stress", 8, KT_ANY_PROCESSOR, StressThread, &Stress[Started])) {
            break;
        }
    }
    for (ULONG Index = 0; Index < Started; Index++) {
        KtJoin(&Stress[Index].Thread);
    }
    for (ULONG Index = 0; Index < Started; Index++) {
        CheckPages(&Stress[Index]); /* all together do not fit into RAM, even if the threads ran one after the other */
    }
    ExFreePool(Version);
}

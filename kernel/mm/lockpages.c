/* lockpages.c: pages kept in memory: frames that a device or an MDL uses, and locked driver sections.
 *
 * A locked frame (MMPFN.LockCount) is not trimmed; freeing its address stops the machine. A section that is locked
 * changes its kind instead: its pages stop being pageable, and become pageable again when the last lock goes. */
#include "mi.h"
#include <ldr.h>
#include <ring.h>

#define PFN_UNLOCKED_TOO_OFTEN 7 /* sub-codes of PFN_LIST_CORRUPT and MEMORY_MANAGEMENT */
#define MM_SECTION_NOT_LOCKED 0x1010
#define MM_SECTION_DOES_NOT_EXIST 0x1234

/* ---- Frames ---- */

/* Makes the page of a kernel address resident and locks its frame. Returns the frame. <= APC_LEVEL if the page may be
 * out, may wait; <= DISPATCH_LEVEL if it is known to be resident. An address behind which nothing is faults as any
 * touch of it would. 0: the address is mapped to something that is no RAM. */
ULONG64 MiLockPage(ULONG64 Va) {
    for (;;) {
        KIRQL OldIrql = MiAcquirePfnLock();
        BOOLEAN IsValid = MmIsAddressValid((PVOID)Va);
        ULONG64 Frame = (ULONG64)MmGetPhysicalAddress((PVOID)Va).QuadPart >> PAGE_SHIFT;
        BOOLEAN IsRam = IsValid && MiIsRamFrame(Frame);
        if (IsRam) {
            MiGetPfn(Frame)->LockCount++;
        }
        MiReleasePfnLock(OldIrql);
        if (IsValid) {
            return IsRam ? Frame : 0;
        }
        (void)*(volatile UCHAR *)Va;
    }
}

/* Takes one lock back. WasWritten: by a device, whose writes leave no D bit. <= DISPATCH_LEVEL. One unlock too many
 * stops the machine: 0x4E (7, frame, count, 0). */
VOID MiUnlockPage(ULONG64 Frame, BOOLEAN WasWritten) {
    PMMPFN Pfn = MiGetPfn(Frame);
    KIRQL OldIrql = MiAcquirePfnLock();
    if (Pfn->LockCount == 0) {
        KeBugCheckEx(PFN_LIST_CORRUPT, PFN_UNLOCKED_TOO_OFTEN, Frame, 0, 0);
    }
    Pfn->LockCount--;
    Pfn->IsModified |= WasWritten && Pfn->IsPageable;
    MiReleasePfnLock(OldIrql);
}

/* ---- Sections of drivers ---- */

static FAST_MUTEX SectionMutex; /* guards LDR_SECTION.LockCount and the kind of each section's pages */

static VOID InitializeSectionMutex(VOID) {
    ExInitializeFastMutex(&SectionMutex);
}
KE_STARTUP_STEP(StartBeforeClock, InitializeSectionMutex);

/* Turns a pageable page into one that stays. FALSE: it is not in memory. MmPfnLock held. */
static BOOLEAN MakePageStay(volatile MMPTE *Pte) {
    MMPTE Contents = *Pte;
    if (!(Contents & PTE_VALID)) {
        return FALSE;
    }
    PMMPFN Pfn = MiGetPfn(MiGetPteFrame(Contents));
    if (Pfn->IsPageable && !Pfn->HasWrite) {
        if (Pfn->OriginalPte != 0) {
            MiFreeSlot(MiGetPteSlot(Pfn->OriginalPte));
            Pfn->OriginalPte = 0;
        }
        Pfn->IsPageable = FALSE;
        MiResidentPages--;
        MiResidentCommit++;
    }
    return !Pfn->IsPageable;
}

/* The opposite. No slot has its contents, so it counts as modified. MmPfnLock held. */
static VOID MakePagePageable(volatile MMPTE *Pte) {
    PMMPFN Pfn = MiGetPfn(MiGetPteFrame(*Pte));
    if (*Pte & PTE_VALID && !Pfn->IsPageable) {
        Pfn->PteAddress = Pte;
        Pfn->IsPageable = TRUE;
        Pfn->IsModified = TRUE;
        MiResidentPages++;
        MiResidentCommit--;
    }
}

/* All pages that a section has a part of. <= APC_LEVEL, SectionMutex held; may wait for the page file. */
static VOID SetSectionPageable(const LDR_SECTION *Section, BOOLEAN IsPageable) {
    LARGE_INTEGER Tick = {.QuadPart = -1};
    for (ULONG64 Va = (ULONG64)PAGE_ALIGN(Section->Start); Va < Section->Start + Section->Bytes;) {
        KIRQL OldIrql = MiAcquirePfnLock();
        BOOLEAN IsDone = TRUE;
        if (IsPageable) {
            MakePagePageable(MiGetPteAddress(Va));
        } else {
            IsDone = MakePageStay(MiGetPteAddress(Va));
        }
        BOOLEAN IsBeingWritten = !IsDone && *MiGetPteAddress(Va) & PTE_VALID;
        MiReleasePfnLock(OldIrql);
        if (IsBeingWritten) {
            KeDelayExecutionThread(KernelMode, FALSE, &Tick);
        } else if (!IsDone) {
            (void)*(volatile UCHAR *)Va;
        } else {
            Va += PAGE_SIZE;
        }
    }
}

/* Two sections of one kind may share a page: it stays as long as either is locked. */
static BOOLEAN SharesPageWithLocked(PKLDR_DATA_TABLE_ENTRY Module, const LDR_SECTION *Section) {
    for (ULONG i = 0; i < Module->SectionCount; i++) {
        const LDR_SECTION *Other = &Module->Section[i];
        if (Other != Section && Other->LockCount != 0 &&
            PAGE_ALIGN(Other->Start) <= PAGE_ALIGN(Section->Start + Section->Bytes - 1) &&
            PAGE_ALIGN(Other->Start + Other->Bytes - 1) >= PAGE_ALIGN(Section->Start)) {
            return TRUE;
        }
    }
    return FALSE;
}

/* Documented: makes the section that contains the address resident until MmUnlockPagableImageSection; the handle is
 * for the two calls below. <= APC_LEVEL, may wait. An address in no section of a driver: 0x1A (0x1234, address). */
PVOID MmLockPagableDataSection(PVOID AddressWithinSection) {
    PKLDR_DATA_TABLE_ENTRY Module = LdrFindModule((ULONG64)AddressWithinSection);
    const LDR_SECTION *Section = Module ? LdrFindSection(Module, (ULONG64)AddressWithinSection) : NULL;
    if (Section == NULL) {
        KeBugCheckEx(MEMORY_MANAGEMENT, MM_SECTION_DOES_NOT_EXIST, (ULONG_PTR)AddressWithinSection, 1, 0);
    }
    MmLockPagableSectionByHandle((PVOID)Section);
    return (PVOID)Section;
}

/* Documented. <= APC_LEVEL, may wait. */
VOID MmLockPagableSectionByHandle(PVOID ImageSectionHandle) {
    LDR_SECTION *Section = ImageSectionHandle;
    ExAcquireFastMutex(&SectionMutex);
    if (Section->LockCount++ == 0 && Section->IsPageable) {
        SetSectionPageable(Section, FALSE);
    }
    ExReleaseFastMutex(&SectionMutex);
}

/* Documented: with the handle of the lock. <= APC_LEVEL. Not locked: 0x1A (0x1010, section, 0, 0). */
VOID MmUnlockPagableImageSection(PVOID ImageSectionHandle) {
    LDR_SECTION *Section = ImageSectionHandle;
    ExAcquireFastMutex(&SectionMutex);
    if (Section->LockCount == 0) {
        KeBugCheckEx(MEMORY_MANAGEMENT, MM_SECTION_NOT_LOCKED, (ULONG_PTR)Section, 0, 0);
    }
    PKLDR_DATA_TABLE_ENTRY Module = LdrFindModule(Section->Start);
    if (--Section->LockCount == 0 && Section->IsPageable && !SharesPageWithLocked(Module, Section)) {
        SetSectionPageable(Section, TRUE);
    }
    ExReleaseFastMutex(&SectionMutex);
}

static VOID SetDriverPageable(PKLDR_DATA_TABLE_ENTRY Module, BOOLEAN IsPageable) {
    ExAcquireFastMutex(&SectionMutex);
    for (ULONG i = 0; i < Module->SectionCount; i++) {
        LDR_SECTION *Section = &Module->Section[i];
        BOOLEAN IsByName = strncmp(Section->Name, "PAGE", 4) == 0;
        if (!IsByName && Section->Start != 0 && Section->LockCount == 0 && Section->IsPageable != IsPageable) {
            SetSectionPageable(Section, IsPageable);
            Section->IsPageable = IsPageable;
        }
    }
    ExReleaseFastMutex(&SectionMutex);
}

/* Documented: makes all code and data of the driver that contains the address pageable, and takes them out of memory.
 * Returns the base of the image, NULL if the address is in no driver. <= APC_LEVEL. */
PVOID MmPageEntireDriver(PVOID AddressWithinSection) {
    PKLDR_DATA_TABLE_ENTRY Module = LdrFindModule((ULONG64)AddressWithinSection);
    if (Module == NULL || LdrIsKernelAddress((ULONG64)AddressWithinSection)) {
        return NULL;
    }
    SetDriverPageable(Module, TRUE);
    MmTrimRange(Module->DllBase, Module->SizeOfImage);
    return Module->DllBase;
}

/* Documented: undoes MmPageEntireDriver. <= APC_LEVEL, may wait. */
VOID MmResetDriverPaging(PVOID AddressWithinSection) {
    PKLDR_DATA_TABLE_ENTRY Module = LdrFindModule((ULONG64)AddressWithinSection);
    if (Module != NULL && !LdrIsKernelAddress((ULONG64)AddressWithinSection)) {
        SetDriverPageable(Module, FALSE);
    }
}

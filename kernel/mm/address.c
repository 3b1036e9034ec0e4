/* address.c: the page tables' entry for an address, read through the self map without a fault.
 *
 * Page tables of the kernel's half are made and never freed, so the walk needs no lock; its answer is true at one
 * instant. */
#include "mi.h"

static BOOLEAN IsCanonical(ULONG64 Va) {
    return (ULONG64)((LONG64)(Va << 16) >> 16) == Va;
}

/* See mi.h. */
MMPTE MiReadPte(ULONG64 Va, ULONG *Level) {
    if (!IsCanonical(Va)) {
        *Level = 0;
        return 0;
    }
    MMPTE Pte = *MiGetPxeAddress(Va);
    if (!(Pte & PTE_VALID)) {
        *Level = 4;
        return Pte;
    }
    Pte = *MiGetPpeAddress(Va);
    if (!(Pte & PTE_VALID) || Pte & PTE_LARGE) {
        *Level = 3;
        return Pte;
    }
    Pte = *MiGetPdeAddress(Va);
    if (!(Pte & PTE_VALID) || Pte & PTE_LARGE) {
        *Level = 2;
        return Pte;
    }
    *Level = 1;
    return *MiGetPteAddress(Va);
}

/* Documented: TRUE if no page fault would occur now; the answer may be stale at once. Any IRQL, never faults. */
BOOLEAN MmIsAddressValid(PVOID VirtualAddress) {
    ULONG Level;
    return (MiReadPte((ULONG64)VirtualAddress, &Level) & PTE_VALID) != 0;
}

/* Documented: the physical address of a valid nonpaged address, 0 when it is not valid. Any IRQL. */
PHYSICAL_ADDRESS MmGetPhysicalAddress(PVOID BaseAddress) {
    ULONG Level;
    MMPTE Pte = MiReadPte((ULONG64)BaseAddress, &Level);
    PHYSICAL_ADDRESS Physical = {.QuadPart = 0};
    if (Pte & PTE_VALID) {
        ULONG64 Mask = (1ULL << (PAGE_SHIFT + 9 * (Level - 1))) - 1;
        Physical.QuadPart = (LONGLONG)((Pte & PTE_FRAME & ~Mask) | ((ULONG64)BaseAddress & Mask));
    }
    return Physical;
}

/* Documented: an address of this RAM; here always the one in the direct map. Any IRQL. */
PVOID MmGetVirtualForPhysical(PHYSICAL_ADDRESS PhysicalAddress) {
    return MmPhysicalToVirtual((ULONG64)PhysicalAddress.QuadPart);
}

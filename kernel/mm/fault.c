/* fault.c: the page fault: the meaning of a failed translation, and when the machine can survive it.
 *
 * The first question is the IRQL. At DISPATCH_LEVEL or above nothing can be waited for, the dispatcher itself runs
 * there, and the interrupted code may hold the very locks that resolving a fault needs. So a fault at that level is
 * the end of the machine, also when the page is in memory and only its PTE is not valid: no code may depend on luck.
 * Below, the fault is first classified, by reading alone; pagein.c then resolves what can be resolved. */
#include "mi.h"

#include <pagefault.h>

#define USER_END 0x0000800000000000ULL
#define INTERRUPTS_OFF 0xFF /* in place of the IRQL, as on NT */

/* The fourth parameter of PAGE_FAULT_IN_NONPAGED_AREA. */
enum { REASON_NO_PAGE = 0, REASON_NO_TABLE = 2, REASON_NO_ADDRESS = 4 };

static NTSTATUS Refuse(MM_REFUSAL *Refusal, ULONG Code, ULONG_PTR Detail) {
    *Refusal = (MM_REFUSAL){Code, Detail};
    return STATUS_IN_PAGE_ERROR;
}

/* The rights that every level grants: a large page's entry stands for the levels below it. */
static MMPTE CollectRights(ULONG64 Va, MMPTE Pte, ULONG Level) {
    MMPTE Upper = *MiGetPxeAddress(Va);
    MMPTE Write = Pte & Upper, NoExecute = Pte | Upper;
    if (Level < 3) {
        Write &= *MiGetPpeAddress(Va);
        NoExecute |= *MiGetPpeAddress(Va);
    }
    if (Level < 2) {
        Write &= *MiGetPdeAddress(Va);
        NoExecute |= *MiGetPdeAddress(Va);
    }
    return (Write & PTE_WRITE) | (NoExecute & PTE_NX);
}

/* The PTE is valid: either the access breaks its protection, or another CPU has made it valid since. */
static NTSTATUS CheckProtection(PKTRAP_FRAME Frame, MMPTE Pte, ULONG Level, MM_REFUSAL *Refusal) {
    MMPTE Rights = CollectRights(Frame->FaultAddress, Pte, Level);
    if (Frame->ErrorCode & FAULT_WRITE && !(Rights & PTE_WRITE)) {
        return Refuse(Refusal, ATTEMPTED_WRITE_TO_READONLY_MEMORY, Pte);
    }
    if (Frame->ErrorCode & FAULT_FETCH && Rights & PTE_NX) {
        return Refuse(Refusal, ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY, Pte);
    }
    return STATUS_SUCCESS;
}

/* At DISPATCH_LEVEL or above only a translation that is valid after all is survived. */
static NTSTATUS FaultAtRaisedIrql(PKTRAP_FRAME Frame, MM_REFUSAL *Refusal) {
    ULONG Level;
    MMPTE Pte = MiReadPte(Frame->FaultAddress, &Level);
    if (!(Pte & PTE_VALID)) {
        return Refuse(Refusal, IRQL_NOT_LESS_OR_EQUAL, Frame->PreviousIrql);
    }
    return CheckProtection(Frame, Pte, Level, Refusal);
}

/* Only these regions hold PTEs that are not valid and yet mean a page. */
static BOOLEAN IsPageableAddress(ULONG64 Va) {
    return (Va >= MM_PAGED_POOL && Va < MM_STACKS) || (Va >= MM_SPECIAL_PAGED_POOL && Va < MM_PFN_DATABASE) ||
           (Va >= MM_SYSTEM_CACHE && Va < MM_SYSTEM_CACHE_END) || (Va >= MM_DRIVER_IMAGES && Va < MM_DRIVER_IMAGES_END);
}

/* From trap.c, at the IRQL and IF of the faulting code, no lock of the memory manager held. Waits only below
 * DISPATCH_LEVEL. STATUS_SUCCESS: the instruction may be tried again. STATUS_ACCESS_VIOLATION: an address of the
 * lower half, for the trap handler to raise. Otherwise Refusal is for MmStopForFault. A page that the disk cannot
 * give stops the machine here, with 0x7A. */
NTSTATUS MmAccessFault(PKTRAP_FRAME Frame, MM_REFUSAL *Refusal) {
    if (Frame->PreviousIrql > APC_LEVEL) {
        return FaultAtRaisedIrql(Frame, Refusal);
    }
    ULONG64 Va = Frame->FaultAddress;
    if (Va < USER_END) {
        return STATUS_ACCESS_VIOLATION;
    }
    ULONG Level;
    MMPTE Pte = MiReadPte(Va, &Level);
    if (Pte & PTE_VALID) {
        return CheckProtection(Frame, Pte, Level, Refusal);
    }
    if (Level != 1) {
        return Refuse(Refusal, PAGE_FAULT_IN_NONPAGED_AREA, Level == 0 ? REASON_NO_ADDRESS : REASON_NO_TABLE);
    }
    if (Pte == 0 || !IsPageableAddress(Va)) {
        return Refuse(Refusal, PAGE_FAULT_IN_NONPAGED_AREA, REASON_NO_PAGE);
    }
    if (!(Frame->EFlags & EFLAGS_IF)) { /* this CPU answers no TLB shoot-down; its sender holds the lock needed here */
        return Refuse(Refusal, IRQL_NOT_LESS_OR_EQUAL, INTERRUPTS_OFF);
    }
    MiResolveFault(Frame, Va, MiGetPteAddress(Va));
    return STATUS_SUCCESS;
}

/* The end of a fault that was refused and that nothing has fixed up. Any IRQL. */
DECLSPEC_NORETURN VOID MmStopForFault(PKTRAP_FRAME Frame, const MM_REFUSAL *Refusal) {
    ULONG_PTR Va = Frame->FaultAddress, Error = Frame->ErrorCode;
    switch (Refusal->Code) {
    case IRQL_NOT_LESS_OR_EQUAL:
        KiBugCheckFromTrap(Refusal->Code, Va, Refusal->Detail, KiFaultAccess(Error), Frame->Rip, Frame);
    case PAGE_FAULT_IN_NONPAGED_AREA:
        KiBugCheckFromTrap(Refusal->Code, Va, Error & (FAULT_WRITE | FAULT_FETCH), Frame->Rip, Refusal->Detail, Frame);
    default: /* the protection was broken: the PTE */
        KiBugCheckFromTrap(Refusal->Code, Va, Refusal->Detail, 0, 0, Frame);
    }
}

/* fault.c: the page fault: what a failed translation means, and when the machine can survive it.
 *
 * The first question is the IRQL. At DISPATCH_LEVEL or above nothing can be waited for, the dispatcher itself runs
 * there, and the interrupted code may hold the very locks that resolving a fault needs. So a fault at that level is
 * the end of the machine, also when the page is in memory and only its PTE is not valid: no code may depend on luck.
 * Below, the fault is first classified, by reading alone; pagein.c then resolves what can be resolved. */
#include "mi.h"

#define ERROR_PRESENT 0x1ULL
#define ERROR_WRITE 0x2ULL
#define ERROR_FETCH 0x10ULL
#define USER_END 0x0000800000000000ULL
#define EFLAGS_IF 0x200ULL
#define INTERRUPTS_OFF 0xFF /* in place of the IRQL, as on NT */

static DECLSPEC_NORETURN VOID StopAtRaisedIrql(PKTRAP_FRAME Frame) {
    KiCorrectErrorCode(Frame);
    KiBugCheckFromTrap(IRQL_NOT_LESS_OR_EQUAL, Frame->FaultAddress, Frame->PreviousIrql, (Frame->ErrorCode >> 1) & 9,
                       Frame->Rip, Frame);
}

/* A CPU with IF = 0 answers no TLB shoot-down, and its sender holds the lock that resolving needs. */
static DECLSPEC_NORETURN VOID StopWithInterruptsOff(PKTRAP_FRAME Frame) {
    KiCorrectErrorCode(Frame);
    KiBugCheckFromTrap(IRQL_NOT_LESS_OR_EQUAL, Frame->FaultAddress, INTERRUPTS_OFF, (Frame->ErrorCode >> 1) & 9,
                       Frame->Rip, Frame);
}

/* PAGE_FAULT_IN_NONPAGED_AREA; Reason: 0 nothing is there, 2 not even a page table, 4 not an address. */
static DECLSPEC_NORETURN VOID StopForBadAddress(PKTRAP_FRAME Frame, ULONG Reason) {
    KiCorrectErrorCode(Frame);
    KiBugCheckFromTrap(PAGE_FAULT_IN_NONPAGED_AREA, Frame->FaultAddress, Frame->ErrorCode & (ERROR_WRITE | ERROR_FETCH),
                       Frame->Rip, Reason, Frame);
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
static VOID CheckProtection(PKTRAP_FRAME Frame, MMPTE Pte, ULONG Level) {
    MMPTE Rights = CollectRights(Frame->FaultAddress, Pte, Level);
    if (Frame->ErrorCode & ERROR_WRITE && !(Rights & PTE_WRITE)) {
        KiBugCheckFromTrap(ATTEMPTED_WRITE_TO_READONLY_MEMORY, Frame->FaultAddress, Pte, 0, 0, Frame);
    }
    if (Frame->ErrorCode & ERROR_FETCH && Rights & PTE_NX) {
        KiBugCheckFromTrap(ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY, Frame->FaultAddress, Pte, 0, 0, Frame);
    }
}

/* At DISPATCH_LEVEL or above only a translation that is valid after all is survived. */
static NTSTATUS FaultAtRaisedIrql(PKTRAP_FRAME Frame) {
    ULONG Level;
    MMPTE Pte = MiReadPte(Frame->FaultAddress, &Level);
    if (!(Pte & PTE_VALID)) {
        StopAtRaisedIrql(Frame);
    }
    CheckProtection(Frame, Pte, Level);
    return STATUS_SUCCESS;
}

/* Only these regions hold PTEs that are not valid and yet mean a page. */
static BOOLEAN IsPageableAddress(ULONG64 Va) {
    return (Va >= MM_PAGED_POOL && Va < MM_STACKS) || (Va >= MM_SPECIAL_PAGED_POOL && Va < MM_PFN_DATABASE) ||
           (Va >= MM_SYSTEM_CACHE && Va < MM_SYSTEM_CACHE_END) || (Va >= MM_DRIVER_IMAGES && Va < MM_DRIVER_IMAGES_END);
}

/* From trap.c, at the IRQL and IF of the faulting code, no lock of the memory manager held. Waits only below
 * DISPATCH_LEVEL. STATUS_SUCCESS: the instruction may be tried again. STATUS_ACCESS_VIOLATION: an address of the
 * lower half, for the trap handler to raise. Otherwise the machine stops with 0xA, 0x50, 0xBE, 0xFC or 0x7A. */
NTSTATUS MmAccessFault(PKTRAP_FRAME Frame) {
    if (Frame->PreviousIrql > APC_LEVEL) {
        return FaultAtRaisedIrql(Frame);
    }
    ULONG64 Va = Frame->FaultAddress;
    if (Va < USER_END) {
        return STATUS_ACCESS_VIOLATION;
    }
    ULONG Level;
    MMPTE Pte = MiReadPte(Va, &Level);
    if (Pte & PTE_VALID) {
        CheckProtection(Frame, Pte, Level);
    } else if (Level != 1) {
        StopForBadAddress(Frame, Level == 0 ? 4 : 2);
    } else if (Pte == 0 || !IsPageableAddress(Va)) {
        StopForBadAddress(Frame, 0);
    } else if (!(Frame->EFlags & EFLAGS_IF)) {
        StopWithInterruptsOff(Frame);
    } else {
        MiResolveFault(Frame, Va, MiGetPteAddress(Va));
    }
    return STATUS_SUCCESS;
}

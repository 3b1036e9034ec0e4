/* trap.c: the meaning of a trap: a page fault is work for the memory manager, all else is the end.
 *
 * Most traps become exceptions with a status, as on NT; no code handles them here, so ke/exception.c makes them
 * bugchecks. Traps that no correct kernel can cause stop the machine as what they are: 0x7F. */
#include "hal.h"
#include <mm.h>
#include <pagefault.h>
#include <ring.h>
#include <trace.h>

#define UNKNOWN_ADDRESS (~(ULONG_PTR)0)

#define MSR_MACHINE_CHECK_CAPABILITY 0x179
#define MSR_BANK_STATUS(Bank) (0x401 + 4 * (Bank))
#define MSR_BANK_ADDRESS(Bank) (0x402 + 4 * (Bank))
#define BANK_STATUS_VALID (1ULL << 63)
#define BANK_ADDRESS_VALID (1ULL << 58)

/* The first bank with a valid error, Intel: "Machine-Check Architecture". */
static DECLSPEC_NORETURN VOID DieOfMachineCheck(PKTRAP_FRAME Frame) {
    ULONG Count = (UCHAR)__readmsr(MSR_MACHINE_CHECK_CAPABILITY);
    ULONG64 Status = 0, Address = 0;
    ULONG Bank = 0;
    for (; Bank < Count; Bank++) {
        Status = __readmsr(MSR_BANK_STATUS(Bank));
        if (Status & BANK_STATUS_VALID) {
            Address = Status & BANK_ADDRESS_VALID ? __readmsr(MSR_BANK_ADDRESS(Bank)) : 0;
            break;
        }
    }
    KiBugCheckFromTrap(MACHINE_CHECK_EXCEPTION, Bank, Address, Status >> 32, (ULONG)Status, Frame);
}

static FORCEINLINE VOID TraceFault(const KTRAP_FRAME *Frame) {
    KdTraceAt((KIRQL)Frame->PreviousIrql, TracePageFault, (ULONG)((Frame->ErrorCode & 0xFF) | Frame->PreviousIrql << 8),
              Frame->FaultAddress, Frame->Rip, 0);
}

/* Faults that the memory manager leaves to us: the lower half, and, as #GP without an address, non-canonical ones. */
static BOOLEAN IsAccessViolation(const KTRAP_FRAME *Frame) {
    return Frame->PreviousIrql <= APC_LEVEL && (LONG64)Frame->FaultAddress >= 0;
}

#define GUARD_TO_RBP 48 /* bytes from KTHREAD.Guard to rbp of its frame: switch.asm pushes six words */

/* An access violation inside KiCallGuarded (switch.asm) of the current thread ends that call. */
static BOOLEAN LeaveGuardedCall(PKTRAP_FRAME Frame) {
    PKTHREAD Thread = KiCurrentThread();
    if (!IsAccessViolation(Frame) || Thread == NULL || Thread->Guard == 0 || Frame->Rsp > Thread->Guard) {
        return FALSE;
    }
    Frame->Rsp = Thread->Guard;
    Frame->Rbp = Thread->Guard + GUARD_TO_RBP;
    Frame->Rax = (ULONG)STATUS_ACCESS_VIOLATION;
    return TRUE;
}

KE_FIX_UP(NULL, KiGuardLanding, LeaveGuardedCall);

/* For a page fault or #GP that would stop the machine. TRUE: the trap returns, to where a fix-up sends it. Any IRQL. */
BOOLEAN KiFixUpFault(PKTRAP_FRAME Frame) {
    for (const KFIX_UP *FixUp = KiFixUps; FixUp < KiFixUpsEnd; FixUp++) {
        if ((FixUp->Fault == NULL || Frame->Rip == (ULONG64)FixUp->Fault) && FixUp->Applies(Frame)) {
            Frame->Rip = (ULONG64)FixUp->Resume;
            return TRUE;
        }
    }
    return FALSE;
}

VOID (*KiErrorCodeHook)(PKTRAP_FRAME Frame); /* readmodify.c: sets the write bit where a processor would have */

/* The memory manager comes first, then the fix-ups; after that the fault is the end. */
static VOID PageFault(PKTRAP_FRAME Frame) {
    MM_REFUSAL Refusal;
    TraceFault(Frame);
    NTSTATUS Status = MmAccessFault(Frame, &Refusal);
    if (NT_SUCCESS(Status) || KiFixUpFault(Frame)) {
        return;
    }
    if (KiErrorCodeHook != NULL) {
        KiErrorCodeHook(Frame);
    }
    if (Status == STATUS_ACCESS_VIOLATION) {
        KiDispatchException(Frame, Status, Frame->Rip, 2, KiFaultAccess(Frame->ErrorCode), Frame->FaultAddress);
    }
    MmStopForFault(Frame, &Refusal);
}

/* From trap.asm, for every exception but NMI, and for `int 29h`. IRQL and IF are those of the interrupted code (#DF,
 * #MC: IF = 0, own stack). Returns to retry the instruction; only a page fault that the memory manager has served
 * does. */
VOID KiTrap(PKTRAP_FRAME Frame) {
    switch (Frame->Vector) {
    case VectorPageFault:
        PageFault(Frame);
        return;
    case VectorGeneralProtection: /* nearly always an address that is not canonical; which, the CPU does not say */
        if (KiFixUpFault(Frame)) {
            return;
        }
        KiDispatchException(Frame, STATUS_ACCESS_VIOLATION, Frame->Rip, 2, AccessRead, UNKNOWN_ADDRESS);
    case VectorInvalidOpcode:
        KiDispatchException(Frame, STATUS_ILLEGAL_INSTRUCTION, Frame->Rip, 0, 0, 0);
    case VectorDivideError:
        KiDispatchException(Frame, STATUS_INTEGER_DIVIDE_BY_ZERO, Frame->Rip, 0, 0, 0);
    case VectorOverflow:
        KiDispatchException(Frame, STATUS_INTEGER_OVERFLOW, Frame->Rip, 0, 0, 0);
    case VectorBoundRange:
        KiDispatchException(Frame, STATUS_ARRAY_BOUNDS_EXCEEDED, Frame->Rip, 0, 0, 0);
    case VectorDebug:
        KiDispatchException(Frame, STATUS_SINGLE_STEP, Frame->Rip, 0, 0, 0);
    case VectorBreakpoint: /* a trap: RIP is behind the instruction of one byte */
        KiDispatchException(Frame, STATUS_BREAKPOINT, Frame->Rip - 1, 0, 0, 0);
    case VectorFastFail: /* a trap too; as on NT the frame shows the instruction itself, of two bytes */
        Frame->Rip -= 2;
        Frame->LinkRip = Frame->Rip;
        KiDispatchException(Frame, STATUS_STACK_BUFFER_OVERRUN, Frame->Rip, 1, Frame->Rcx, 0);
    case VectorMachineCheck:
        DieOfMachineCheck(Frame);
    default: /* VectorDoubleFault, and traps of a broken descriptor table or floating point */
        KiBugCheckFromTrap(UNEXPECTED_KERNEL_MODE_TRAP, Frame->Vector, (ULONG_PTR)Frame, Frame->Rsp, Frame->Rip, Frame);
    }
}

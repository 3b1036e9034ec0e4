/* trap.c: what an exception means: a page fault is work for the memory manager, everything else is the end.
 *
 * There is no user mode and no exception handler in this kernel, so an exception that NT would raise in a system thread
 * goes straight to the bugcheck that its last filter makes of it: 0x7E in a thread, 0x1E where no thread is to blame (a
 * DPC, an interrupt, raised IRQL, the idle loop). The trap frame stands for both the exception record and the context
 * record. */
#include "hal.h"
#include <mm.h>

enum {
    VectorDivideError = 0,
    VectorDebug = 1,
    VectorBreakpoint = 3,
    VectorOverflow = 4,
    VectorBoundRange = 5,
    VectorInvalidOpcode = 6,
    VectorDoubleFault = 8,
    VectorGeneralProtection = 13,
    VectorPageFault = 14,
    VectorMachineCheck = 18,
    VectorFastFail = 0x29
};

/* How an access violation describes the access. */
enum { ViolationRead = 0, ViolationWrite = 1, ViolationExecute = 8 };
#define ERROR_WRITE 0x02 /* bits of #PF's error code */
#define ERROR_EXECUTE 0x10
#define UNKNOWN_ADDRESS (~(ULONG_PTR)0)

static ULONG_PTR KindOfAccess(const KTRAP_FRAME *Frame) {
    if (Frame->ErrorCode & ERROR_EXECUTE) {
        return ViolationExecute;
    }
    return Frame->ErrorCode & ERROR_WRITE ? ViolationWrite : ViolationRead;
}

/* Is a thread to blame? It is not in a DPC, above APC_LEVEL, or in the thread that a CPU is born with. */
static BOOLEAN IsInThread(const KTRAP_FRAME *Frame) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    return !Prcb->DpcRoutineActive && Frame->PreviousIrql < DISPATCH_LEVEL && Prcb->CurrentThread != Prcb->IdleThread;
}

/* An exception that nobody handles. Details 1 and 2 are those of an access violation: kind, address. */
static DECLSPEC_NORETURN VOID DieUnhandled(PKTRAP_FRAME Frame, NTSTATUS Status, ULONG64 Address, ULONG_PTR Detail1,
                                           ULONG_PTR Detail2) {
    ULONG_PTR Code = (ULONG_PTR)(LONG_PTR)Status; /* sign-extended, as NT shows it */
    if (IsInThread(Frame)) {
        KiBugCheckFromTrap(SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, Code, Address, (ULONG_PTR)Frame, (ULONG_PTR)Frame,
                           Frame);
    }
    KiBugCheckFromTrap(KMODE_EXCEPTION_NOT_HANDLED, Code, Address, Detail1, Detail2, Frame);
}

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

/* From trap.asm, for every exception but NMI, and for `int 29h`. IRQL and IF are those of the interrupted code (#DF,
 * #MC: IF = 0, own stack). Returns to retry the instruction; only a page fault that the memory manager has served
 * does. */
VOID KiTrap(PKTRAP_FRAME Frame) {
    switch (Frame->Vector) {
    case VectorPageFault:
        if (NT_SUCCESS(MmAccessFault(Frame))) {
            return;
        }
        DieUnhandled(Frame, STATUS_ACCESS_VIOLATION, Frame->Rip, KindOfAccess(Frame), Frame->FaultAddress);
    case VectorGeneralProtection: /* nearly always an address that is not canonical; which, the CPU does not say */
        DieUnhandled(Frame, STATUS_ACCESS_VIOLATION, Frame->Rip, ViolationRead, UNKNOWN_ADDRESS);
    case VectorInvalidOpcode:
        DieUnhandled(Frame, STATUS_ILLEGAL_INSTRUCTION, Frame->Rip, 0, 0);
    case VectorDivideError:
        DieUnhandled(Frame, STATUS_INTEGER_DIVIDE_BY_ZERO, Frame->Rip, 0, 0);
    case VectorOverflow:
        DieUnhandled(Frame, STATUS_INTEGER_OVERFLOW, Frame->Rip, 0, 0);
    case VectorBoundRange:
        DieUnhandled(Frame, STATUS_ARRAY_BOUNDS_EXCEEDED, Frame->Rip, 0, 0);
    case VectorDebug:
        DieUnhandled(Frame, STATUS_SINGLE_STEP, Frame->Rip, 0, 0);
    case VectorBreakpoint: /* a trap: RIP is behind the instruction of one byte */
        DieUnhandled(Frame, STATUS_BREAKPOINT, Frame->Rip - 1, 0, 0);
    case VectorFastFail: /* a trap too; as on NT the frame shows the instruction itself, of two bytes */
        Frame->Rip -= 2;
        Frame->LinkRip = Frame->Rip;
        KiBugCheckFromTrap(KERNEL_SECURITY_CHECK_FAILURE, Frame->Rcx, (ULONG_PTR)Frame, (ULONG_PTR)Frame, 0, Frame);
    case VectorMachineCheck:
        DieOfMachineCheck(Frame);
    default: /* VectorDoubleFault, and what cannot happen without a broken descriptor table or floating point */
        KiBugCheckFromTrap(UNEXPECTED_KERNEL_MODE_TRAP, Frame->Vector, (ULONG_PTR)Frame, Frame->Rsp, Frame->Rip, Frame);
    }
}

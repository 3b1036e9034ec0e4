/* exception.c: unhandled exceptions and failed assertions: the bugcheck that each one becomes.
 *
 * The only handler is at the end of KiCallGuarded (arch/x86_64/switch.asm), where NT's own code has __try. As on NT the
 * record and the context lie on the stack of the code that raised the exception. The last filter depends on what the
 * CPU was doing, not on its IRQL:
 *   an interrupt routine        0x3D (record, context, 0, 0)         the interrupt dispatcher's
 *   a DPC, the idle loop        0x1E (code, address, details)        none: no thread is to blame
 *   anything in a thread        0x7E (code, address, record, context) the one below the thread's start routine */
#include <bugcheck.h>

#include <arch.h>
#include <kd.h>

#define STATUS_ASSERTION_FAILURE ((NTSTATUS)0xC0000420)

/* Is this an interrupt routine, as opposed to code that raised the IRQL by itself? */
static BOOLEAN IsInInterrupt(PKPRCB Prcb) {
    return Prcb->InterruptFrame != NULL;
}

static BOOLEAN IsInThread(PKPRCB Prcb) {
    return !Prcb->DpcRoutineActive && Prcb->CurrentThread != NULL && Prcb->CurrentThread != Prcb->IdleThread;
}

/* Any IRQL, any locks. Frame: of the trap that raised it, NULL if a call did. */
static DECLSPEC_NORETURN VOID DieOfException(PEXCEPTION_RECORD Record, PCONTEXT Context, PKTRAP_FRAME Frame) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    ULONG_PTR Code = (ULONG_PTR)(LONG_PTR)Record->ExceptionCode, At = (ULONG_PTR)Record->ExceptionAddress;
    ULONG_PTR Detail0 = Record->ExceptionInformation[0], Detail1 = Record->ExceptionInformation[1];
    ULONG_PTR Data[5] = {KMODE_EXCEPTION_NOT_HANDLED, Code, At, Detail0, Detail1};
    if (IsInInterrupt(Prcb)) {
        Data[0] = INTERRUPT_EXCEPTION_NOT_HANDLED;
        Data[1] = (ULONG_PTR)Record;
        Data[2] = (ULONG_PTR)Context;
        Data[3] = Data[4] = 0;
    } else if (IsInThread(Prcb)) {
        Data[0] = SYSTEM_THREAD_EXCEPTION_NOT_HANDLED;
        Data[3] = (ULONG_PTR)Record;
        Data[4] = (ULONG_PTR)Context;
    }
    if (Frame != NULL) {
        KiBugCheckFromTrap((ULONG)Data[0], Data[1], Data[2], Data[3], Data[4], Frame);
    }
    KeBugCheckEx((ULONG)Data[0], Data[1], Data[2], Data[3], Data[4]);
}

static VOID FillContext(PCONTEXT Context, const KTRAP_FRAME *Frame) {
    *Context = (CONTEXT){.ContextFlags = CONTEXT_CONTROL | CONTEXT_INTEGER,
                         .SegCs = (USHORT)Frame->SegCs,
                         .SegSs = (USHORT)Frame->SegSs,
                         .EFlags = (ULONG)Frame->EFlags,
                         .Rax = Frame->Rax,
                         .Rcx = Frame->Rcx,
                         .Rdx = Frame->Rdx,
                         .Rbx = Frame->Rbx,
                         .Rsp = Frame->Rsp,
                         .Rbp = Frame->Rbp,
                         .Rsi = Frame->Rsi,
                         .Rdi = Frame->Rdi,
                         .R8 = Frame->R8,
                         .R9 = Frame->R9,
                         .R10 = Frame->R10,
                         .R11 = Frame->R11,
                         .R12 = Frame->R12,
                         .R13 = Frame->R13,
                         .R14 = Frame->R14,
                         .R15 = Frame->R15,
                         .Rip = Frame->Rip};
}

static VOID FillRecord(PEXCEPTION_RECORD Record, NTSTATUS Status, ULONG64 Address, ULONG Count, ULONG_PTR Detail0,
                       ULONG_PTR Detail1) {
    *Record = (EXCEPTION_RECORD){.ExceptionCode = Status,
                                 .ExceptionAddress = (PVOID)Address,
                                 .NumberParameters = Count,
                                 .ExceptionInformation = {Detail0, Detail1}};
}

/* See exception.h. The fast fail is the one exception that no filter sees: 0x139 (code, frame, record, 0). */
DECLSPEC_NORETURN VOID KiDispatchException(PKTRAP_FRAME Frame, NTSTATUS Status, ULONG64 Address, ULONG Count,
                                           ULONG_PTR Detail0, ULONG_PTR Detail1) {
    EXCEPTION_RECORD Record;
    CONTEXT Context;
    FillRecord(&Record, Status, Address, Count, Detail0, Detail1);
    FillContext(&Context, Frame);
    if (Status == STATUS_STACK_BUFFER_OVERRUN) {
        Record.ExceptionFlags = EXCEPTION_NONCONTINUABLE;
        KiBugCheckFromTrap(KERNEL_SECURITY_CHECK_FAILURE, Detail0, (ULONG_PTR)Frame, (ULONG_PTR)&Record, 0, Frame);
    }
    DieOfException(&Record, &Context, Frame);
}

typedef struct _COPY {
    PVOID To;
    const void *From;
    SIZE_T Bytes;
} COPY;

static VOID Copy(PVOID Context) {
    const COPY *Call = Context;
    memcpy(Call->To, Call->From, Call->Bytes);
}

/* See exception.h. */
NTSTATUS KiCopyGuarded(PVOID To, const void *From, SIZE_T Bytes) {
    COPY Call = {To, From, Bytes};
    return KiCallGuarded(Copy, &Call);
}

/* DPCs and interrupt routines do not belong to the thread and run above APC_LEVEL; an APC hides the guard. */
static BOOLEAN IsGuarded(VOID) {
    PKTHREAD Thread = KiCurrentThread();
    return Thread != NULL && Thread->Guard != 0 && KiCurrentIrql() <= APC_LEVEL;
}

/* See exception.h. The context has what a call leaves in place: the caller's instruction and its stack. */
DECLSPEC_NORETURN VOID KiRaiseException(NTSTATUS Status, ULONG64 Address, const ULONG64 *StackFrame) {
    if (IsGuarded()) {
        KiEndGuarded(Status);
    }
    EXCEPTION_RECORD Record;
    CONTEXT Context = {
        .ContextFlags = CONTEXT_CONTROL, .Rip = Address, .Rsp = (ULONG64)(StackFrame + 2), .Rbp = StackFrame[0]};
    FillRecord(&Record, Status, Address, 0, 0, 0);
    Record.ExceptionFlags = EXCEPTION_NONCONTINUABLE;
    DieOfException(&Record, &Context, NULL);
}

/* ---- What code raises by itself ---- */

/* An unhandled exception: a thread's own (0x7E), or a DPC's or interrupt's, which no thread is to blame for. Any IRQL.
 * wdm.h: ExRaiseStatus. */
DECLSPEC_NORETURN VOID ExRaiseStatus(NTSTATUS Status) {
    KiRaiseException(Status, (ULONG64)_ReturnAddress(), __builtin_frame_address(0));
}

/* In a class's table of virtual functions where one has no body: called, it is a mistake of the driver's. Any IRQL. */
DECLSPEC_NORETURN VOID __cxa_pure_virtual(VOID);
DECLSPEC_NORETURN VOID __cxa_pure_virtual(VOID) {
    KiRaiseException(STATUS_NOT_IMPLEMENTED, (ULONG64)_ReturnAddress(), __builtin_frame_address(0));
}

/* Any IRQL. No call comes from user mode, which does not exist. */
KPROCESSOR_MODE ExGetPreviousMode(VOID) {
    return KernelMode;
}

/* Any IRQL. Called by NT_ASSERT in the checked build; drivers built for it call it in a free kernel too. */
VOID RtlAssert(PVOID FailedAssertion, PVOID FileName, ULONG LineNumber, PSTR Message) {
    KdPrintf("Assertion failed: %s%s%s\n  in %s, line %u\n", Message ? Message : "", Message ? ": " : "",
             (PCSTR)FailedAssertion, (PCSTR)FileName, LineNumber);
    KeBugCheckEx(KMODE_EXCEPTION_NOT_HANDLED, (ULONG_PTR)(LONG_PTR)STATUS_ASSERTION_FAILURE,
                 (ULONG_PTR)_ReturnAddress(), (ULONG_PTR)FailedAssertion, LineNumber);
}

/* stack.c: the stack walk, by the build's table of unwind rows, through traps and across stacks. It reads only memory
 * that it has confirmed to be there.
 *
 * A frame begins where rsp was before the call. Where it begins, and where the caller's rip and rbp lie, changes within
 * a function, and a leaf never has a frame of its own; so there is a rule for each instruction (kd.h):
 *
 *                                      begins at       caller's rip    caller's rbp
 *       f:      push rbp               rsp + 8         8 below         rbp
 *               mov  rbp, rsp          rsp + 16        8 below         16 below
 *               ...                    rbp + 16        8 below         16 below
 *               leave                  rbp + 16        8 below         16 below
 *               ret                    rsp + 8         8 below         rbp
 *       a leaf: ...                    rsp + 8         8 below         rbp
 *       a trap: trap.asm, after it     rbp + D0h       28h below       60h below       (rsp: 10h below)
 *
 * For code without a rule (no symbols, or a call to where no code is) only the chain of frame pointers is left. */
#include <kd.h>
#include <ldr.h>
#include <rtl.h>

static BOOLEAN ReadWord(ULONG64 Address, ULONG64 *Word) {
    if ((Address & (sizeof(ULONG64) - 1)) != 0 || !MmIsAddressValid((PVOID)Address)) {
        return FALSE;
    }
    *Word = *(const ULONG64 *)Address;
    return TRUE;
}

static BOOLEAN ApplyRule(const KD_UNWIND_RULE *Rule, const KD_FRAME *Frame, KD_FRAME *Caller) {
    ULONG64 Start = (Rule->Flags & KD_FROM_RBP ? Frame->Rbp : Frame->Rsp) + Rule->FrameOffset;
    Caller->Rbp = Frame->Rbp;
    Caller->Rsp = Start;
    Caller->IsTrap = (Rule->Flags & KD_INTERRUPTED) != 0;
    return !(Rule->Flags & KD_OUTERMOST) && ReadWord(Start - Rule->RipWords * sizeof(ULONG64), &Caller->Rip) &&
           (Rule->RbpWords == 0 || ReadWord(Start - Rule->RbpWords * sizeof(ULONG64), &Caller->Rbp)) &&
           (Rule->RspWords == 0 || ReadWord(Start - Rule->RspWords * sizeof(ULONG64), &Caller->Rsp));
}

/* A call of an address without code: the caller's address is still on top of the stack. */
static BOOLEAN FindCallerOfNothing(const KD_FRAME *Frame, KD_FRAME *Caller) {
    if (!Frame->IsTrap || LdrFindModule(Frame->Rip) != NULL || !ReadWord(Frame->Rsp, &Caller->Rip) ||
        LdrFindModule(Caller->Rip) == NULL) {
        return FALSE;
    }
    Caller->Rsp = Frame->Rsp + sizeof(ULONG64);
    Caller->Rbp = Frame->Rbp;
    Caller->IsTrap = FALSE;
    return TRUE;
}

static BOOLEAN FollowFramePointer(const KD_FRAME *Frame, KD_FRAME *Caller) {
    Caller->Rsp = Frame->Rbp + 2 * sizeof(ULONG64);
    Caller->IsTrap = FALSE;
    return Frame->Rbp != 0 && ReadWord(Frame->Rbp, &Caller->Rbp) &&
           ReadWord(Frame->Rbp + sizeof(ULONG64), &Caller->Rip);
}

/* The next frame outwards; FALSE: there is none, or it cannot be read. */
static BOOLEAN FindCaller(const KD_FRAME *Frame, KD_FRAME *Caller) {
    const KD_UNWIND_RULE *Rule = KdFindUnwindRule(Frame->Rip - (Frame->IsTrap ? 0 : 1));
    BOOLEAN IsFound = Rule != NULL ? ApplyRule(Rule, Frame, Caller)
                                   : FindCallerOfNothing(Frame, Caller) || FollowFramePointer(Frame, Caller);
    return IsFound && Caller->Rip != 0;
}

ULONG KdWalkStack(const KD_FRAME *First, KD_FRAME *Frames, ULONG MaximumFrames) {
    ULONG Count = 0;
    if (MaximumFrames != 0) {
        Frames[Count++] = *First;
    }
    while (Count != 0 && Count < MaximumFrames && FindCaller(&Frames[Count - 1], &Frames[Count])) {
        if (Frames[Count].Rsp == Frames[Count - 1].Rsp) {
            break; /* a loop */
        }
        Count++;
    }
    return Count;
}

ULONG KdWalkTrap(const KTRAP_FRAME *Trap, KD_FRAME *Frames, ULONG MaximumFrames) {
    KD_FRAME First = {.Rip = Trap->Rip, .Rsp = Trap->Rsp, .Rbp = Trap->Rbp, .IsTrap = TRUE};
    return KdWalkStack(&First, Frames, MaximumFrames);
}

int KdFormatFrame(PCHAR Buffer, SIZE_T Bytes, const KD_FRAME *Frame) {
    KD_SYMBOL Symbol;
    /* A return address may be the first of the next line, or even of the next function: the call lies before it. */
    ULONG64 Before = Frame->IsTrap ? 0 : 1;
    if (!KdLookupAddress(Frame->Rip - Before, &Symbol) || Symbol.Function == NULL) {
        PCSTR Unloaded = LdrFindUnloadedModule(Frame->Rip);
        return Unloaded == NULL ? KdFormatAddress(Buffer, Bytes, Frame->Rip)
                                : RtlFormat(Buffer, Bytes, "<unloaded_%s.sys> 0x%016I64x", Unloaded, Frame->Rip);
    }
    ULONG64 Offset = Symbol.Offset + Before;
    return Symbol.File == NULL ? RtlFormat(Buffer, Bytes, "%s!%s+0x%I64x", Symbol.Module, Symbol.Function, Offset)
                               : RtlFormat(Buffer, Bytes, "%s!%s+0x%I64x (%s:%u)", Symbol.Module, Symbol.Function,
                                           Offset, Symbol.File, Symbol.Line);
}

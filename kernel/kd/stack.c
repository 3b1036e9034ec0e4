/* stack.c: walks a stack by its chain of frame pointers, through traps and across stacks; reads nothing unconfirmed.
 *
 *   every function:   push rbp; mov rbp, rsp      so  [rbp] = the caller's rbp,  [rbp + 8] = the return address
 *   a trap:           rbp = its KTRAP_FRAME       so  [rbp] = LinkRbp,           [rbp + 8] = LinkRip
 *
 * A trap frame follows where the return address lies in trap.asm; its link repeats the interrupted rbp and rip. A
 * function that is interrupted on its first instruction (a call of pageable code that is out) has no frame yet, and the assembly
 * in .text.leaf never has one: their caller's address is on top of the stack, and would be missing from the chain. */
#include <kd.h>
#include <ldr.h>
#include <rtl.h>

#define SELECTOR_PRIVILEGE 3

extern const UCHAR KiTrapCodeStart[], KiTrapCodeEnd[]; /* trap.asm */
extern const UCHAR LeafTextStart[], LeafTextEnd[];     /* kernel.ld */

static BOOLEAN IsReadable(ULONG64 Address, SIZE_T Bytes) {
    return (Address & 7) == 0 && MmIsAddressValid((PVOID)Address) && MmIsAddressValid((PVOID)(Address + Bytes - 1));
}

static BOOLEAN IsBetween(ULONG64 Address, const UCHAR *Start, const UCHAR *End) {
    return Address >= (ULONG64)Start && Address < (ULONG64)End;
}

static BOOLEAN IsTrapFrame(ULONG64 Address) {
    const KTRAP_FRAME *Frame = (const KTRAP_FRAME *)Address;
    return IsReadable(Address, sizeof(KTRAP_FRAME)) && Frame->LinkRip == Frame->Rip && Frame->LinkRbp == Frame->Rbp &&
           Frame->Vector < 256 && (Frame->SegCs & SELECTOR_PRIVILEGE) == 0 && Frame->SegCs != 0;
}

static VOID AddFrame(KD_FRAME *Frames, ULONG *Count, ULONG64 Rip, ULONG64 Rbp, BOOLEAN IsTrap) {
    Frames[*Count].Rip = Rip;
    Frames[*Count].Rbp = Rbp;
    Frames[*Count].IsTrap = IsTrap;
    (*Count)++;
}

/* Code that has not made its frame yet, or never makes one; also an address where no code is, after a call of it. */
static BOOLEAN IsUnframed(ULONG64 Rip) {
    KD_SYMBOL Symbol;
    return IsBetween(Rip, LeafTextStart, LeafTextEnd) || !KdLookupAddress(Rip, &Symbol) ||
           (Symbol.Function != NULL && Symbol.Offset == 0);
}

/* The return address of a function that was interrupted without a frame; 0 when it has one. */
static ULONG64 CallerOfUnframed(const KTRAP_FRAME *Trap) {
    if (!IsUnframed(Trap->Rip) || !IsReadable(Trap->Rsp, sizeof(ULONG64))) {
        return 0;
    }
    ULONG64 Caller = *(const ULONG64 *)Trap->Rsp;
    return LdrFindModule(Caller) != NULL ? Caller : 0;
}

/* Adds the frame that a trap interrupted, and its caller where the chain would miss it. */
static VOID AddTrap(KD_FRAME *Frames, ULONG *Count, ULONG Maximum, const KTRAP_FRAME *Trap) {
    AddFrame(Frames, Count, Trap->Rip, Trap->Rbp, TRUE);
    ULONG64 Caller = CallerOfUnframed(Trap);
    if (Caller != 0 && *Count < Maximum) {
        AddFrame(Frames, Count, Caller, Trap->Rbp, FALSE);
    }
}

/* Continues behind the last of Count frames. */
static ULONG FollowChain(KD_FRAME *Frames, ULONG Count, ULONG Maximum) {
    while (Count < Maximum) {
        ULONG64 Rbp = Frames[Count - 1].Rbp;
        if (!IsReadable(Rbp, 2 * sizeof(ULONG64))) {
            break;
        }
        if (IsBetween(Frames[Count - 1].Rip, KiTrapCodeStart, KiTrapCodeEnd) && IsTrapFrame(Rbp)) {
            AddTrap(Frames, &Count, Maximum, (const KTRAP_FRAME *)Rbp);
        } else {
            const ULONG64 *Link = (const ULONG64 *)Rbp;
            if (Link[1] == 0) {
                break;
            }
            AddFrame(Frames, &Count, Link[1], Link[0], FALSE);
        }
        if (Frames[Count - 1].Rbp == Rbp) {
            break; /* a loop */
        }
    }
    return Count;
}

/* The first frame's Rip counts as an interrupted instruction, not as a return address. */
ULONG KdWalkStack(ULONG64 Rip, ULONG64 Rbp, KD_FRAME *Frames, ULONG MaximumFrames) {
    ULONG Count = 0;
    if (MaximumFrames == 0) {
        return 0;
    }
    AddFrame(Frames, &Count, Rip, Rbp, TRUE);
    return FollowChain(Frames, Count, MaximumFrames);
}

ULONG KdWalkTrap(const KTRAP_FRAME *Trap, KD_FRAME *Frames, ULONG MaximumFrames) {
    ULONG Count = 0;
    if (MaximumFrames == 0) {
        return 0;
    }
    AddTrap(Frames, &Count, MaximumFrames, Trap);
    return FollowChain(Frames, Count, MaximumFrames);
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

/* Any IRQL. One line for each frame. */
VOID KdPrintStack(ULONG64 Rip, ULONG64 Rbp, ULONG MaximumFrames, VOID (*Put)(PCSTR Text)) {
    KD_FRAME Frames[32];
    CHAR Name[120], Line[160];
    ULONG Wanted = MaximumFrames < RTL_NUMBER_OF(Frames) ? MaximumFrames : RTL_NUMBER_OF(Frames);
    ULONG Count = KdWalkStack(Rip, Rbp, Frames, Wanted);
    for (ULONG i = 0; i < Count; i++) {
        KdFormatFrame(Name, sizeof(Name), &Frames[i]);
        RtlFormat(Line, sizeof(Line), "  %02u %016I64x  %s\n", i, Frames[i].Rip, Name);
        Put(Line);
    }
}

/* trapframe.h: the interrupted CPU's registers, as trap.asm leaves them on its stack. */
#ifndef _TRAPFRAME_H_
#define _TRAPFRAME_H_

#include <nttypes.h>

#define EFLAGS_IF 0x200ULL /* interrupts are enabled */

/* The frame that trap.asm leaves on the interrupted stack, lowest address first. Rip..SegSs are the CPU's own. */
typedef struct _KTRAP_FRAME {
    ULONG64 LinkRbp; /* with LinkRip a stack frame: .trap knows a KTRAP_FRAME by it */
    ULONG64 LinkRip;
    ULONG64 PreviousIrql; /* CR8 at the trap */
    ULONG64 FaultAddress; /* CR2 for #PF, otherwise 0 */
    ULONG64 R15, R14, R13, R12, R11, R10, R9, R8;
    ULONG64 Rdi, Rsi, Rbp, Rbx, Rdx, Rcx, Rax;
    ULONG64 Vector;
    ULONG64 ErrorCode;
    ULONG64 Rip, SegCs, EFlags, Rsp, SegSs;
} KTRAP_FRAME, *PKTRAP_FRAME;

#endif

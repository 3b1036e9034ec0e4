/* kd.h: symbols, stack walk and text output, without allocation, lock or fault: for a dying kernel. */
#ifndef _KD_H_
#define _KD_H_

#include <ke.h>

/* ---- Output (kd/print.c) ---- */
VOID KdPutString(PCSTR Text);  /* COM1 (and the early screen console). Any IRQL. Takes the print lock unless dying. */
VOID KdPutChannel(PCSTR Text); /* COM2, the machine channel; nothing when there is no second UART */
VOID KdPrintf(PCSTR Format, ...);   /* to COM1, <= 512 bytes a call */
VOID KdChannelf(PCSTR Format, ...); /* to COM2 */
VOID KdPutDriverText(PCSTR Text);   /* DbgPrint's text and its kin's: KdPutString, and COM2 when a driver is judged */
VOID KdEscapeText(PCHAR Buffer, SIZE_T Bytes, PCSTR Text); /* for a JSON string, cut to Bytes. Any IRQL */
VOID KdEnterDying(VOID);                                   /* from now on output is polled and takes no lock */

/* ---- Symbols (ldr/symbols.c) ---- */
typedef struct _KD_SYMBOL {
    PCSTR Module;   /* "nt" for the kernel, "secret" for secret.sys */
    PCSTR Function; /* NULL when unknown */
    ULONG64 Offset; /* from the function's start */
    PCSTR File;     /* "secret.c", NULL when unknown */
    ULONG Line;
} KD_SYMBOL;
/* Any IRQL, never faults. FALSE when the address is in no module. For a return address pass Address - 1. */
BOOLEAN KdLookupAddress(ULONG64 Address, KD_SYMBOL *Symbol);
/* "secret!SecretStore+0x31 (secret.c:42)" or "0xffff...". Returns the length. */
int KdFormatAddress(PCHAR Buffer, SIZE_T Bytes, ULONG64 Address);
/* Whether a symbol file (tools/build/mksymbols.py) is whole: the lookups then never leave it. Any IRQL. */
BOOLEAN KdCheckSymbols(const void *File, SIZE_T Bytes);
BOOLEAN KdLookupName(PCSTR Module, PCSTR Function, ULONG64 *Address);

/* ---- Stack walk (report/stack.c) ---- */
/* The way from an instruction to the caller of its function; tools/build/mksymbols.py makes these. The frame begins where rsp
 * was before the call. */
typedef struct _KD_UNWIND_RULE {
    USHORT FrameOffset; /* where the frame begins, from rsp or rbp */
    UCHAR Flags;
    UCHAR RipWords; /* so many words below lies the return address, or the interrupted one */
    UCHAR RbpWords; /* the caller's rbp; 0: it is unchanged */
    UCHAR RspWords; /* the caller's rsp; 0: where the frame begins */
    UCHAR Reserved[2];
} KD_UNWIND_RULE;
#define KD_FROM_RBP 1
#define KD_INTERRUPTED 2 /* the caller was interrupted and called nothing */
#define KD_OUTERMOST 4   /* there is no caller */
/* Any IRQL, never faults. NULL: there is no rule. For a return address pass Address - 1. */
const KD_UNWIND_RULE *KdFindUnwindRule(ULONG64 Address);

typedef struct _KD_FRAME {
    ULONG64 Rip, Rsp, Rbp;
    BOOLEAN IsTrap; /* Rip is the interrupted instruction itself, not a return address */
} KD_FRAME;
/* The frame of the current function's caller, for a walk to begin with. A macro: a function would have its own caller. */
#define KD_CALLING_FRAME()                                                        \
    ((KD_FRAME){.Rip = (ULONG64)__builtin_return_address(0),                      \
                .Rsp = (ULONG64)__builtin_frame_address(0) + 2 * sizeof(ULONG64), \
                .Rbp = *(const ULONG64 *)__builtin_frame_address(0),              \
                .IsTrap = FALSE})
/* From First on, which becomes Frames[0]; reads only addresses that MmIsAddressValid confirms. Returns the number of
 * frames. Any IRQL. */
ULONG KdWalkStack(const KD_FRAME *First, KD_FRAME *Frames, ULONG MaximumFrames);
/* The same from the instruction that a trap has interrupted. */
ULONG KdWalkTrap(const KTRAP_FRAME *Trap, KD_FRAME *Frames, ULONG MaximumFrames);
/* "secret!SecretStore+0x31 (secret.c:42)", where a return address counts for the call before it. Any IRQL. */
int KdFormatFrame(PCHAR Buffer, SIZE_T Bytes, const KD_FRAME *Frame);

/* ---- Screen (kd/screen.c, kd/console.c): the framebuffer as a grid of characters; every call is a no-op without one ---- */
VOID KdScreenPut(PCSTR Text); /* the console: mirrors COM1. The caller holds the print lock, or is the only CPU. */
VOID KdCloseConsole(VOID);    /* the blue screen takes over */
VOID KdQueryScreen(ULONG *Columns, ULONG *Rows); /* both 0 when there is none */
VOID KdFillPixels(ULONG X, ULONG Y, ULONG Width, ULONG Height, ULONG Color);
VOID KdFillCells(ULONG Column, ULONG Row, ULONG Columns, ULONG Rows, ULONG Color);
VOID KdDrawCharacter(ULONG Column, ULONG Row, ULONG Code, ULONG Ink, ULONG Paper);
VOID KdDrawLargeCharacter(ULONG Column, ULONG Row, ULONG Code, ULONG Ink, ULONG Paper); /* two cells wide and high */

/* ---- The report of a bugcheck (report/bugreport.c): the drivers on trial; NULL: none are. Any IRQL ---- */
typedef struct _KD_JUDGED {
    BOOLEAN (*IsAddress)(ULONG64 Address);                /* in one's image */
    BOOLEAN (*FormatRoutine)(PCHAR Buffer, SIZE_T Bytes); /* the one that is being entered or left; FALSE: none is */
} KD_JUDGED;
extern const KD_JUDGED *KdJudged;

VOID KdInitializeCodePage(VOID); /* kd/dbgprint.c: the pageable table that %S and %wZ go through. PASSIVE */

#endif

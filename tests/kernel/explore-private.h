/* explore-private.h: what the files of the explorer share: the frame of a context, and the two CPUs that it borrows. */
#ifndef _EXPLORE_PRIVATE_H_
#define _EXPLORE_PRIVATE_H_

#include "explore.h"

typedef struct _FRAME { /* exploreturn.asm */
    ULONG64 Registers[15];
    ULONG64 Rip, Cs, EFlags, Rsp, Ss;
} FRAME;

extern const UCHAR KtStepTrap[], KtFaultTrap[], KtContextEnd[], KtIdle[], KtSleeping[]; /* exploreturn.asm */
VOID KtRunContexts(PVOID Frame);
PVOID KtTurn(FRAME *Frame);

/* ---- explorecpus.c: the CPUs of a batch of schedules ---- */
BOOLEAN KtOpenCpus(const KT_EXPLORATION *What); /* PASSIVE_LEVEL, before all batches; FALSE: the test has failed */
VOID KtCloseCpus(const KT_EXPLORATION *What);
/* Runs Routine on the boot CPU with IF = 0, the traps of exploreturn.asm in place, and no lock of the kernel held, while
 * the other CPUs stand still. PASSIVE_LEVEL. */
VOID KtCallAlone(const KT_EXPLORATION *What, VOID (*Routine)(PVOID Context), PVOID Context);
VOID KtResetCpus(const KT_EXPLORATION *What);             /* before each schedule */
PKPCR KtPcrOf(const KT_EXPLORATION *What, ULONG Context); /* that a context takes for its own */

/* ---- exploreaccess.c ---- */
#define KT_EVERYTHING MAXULONG
typedef struct _KT_ACCESS {
    ULONG64 Address;
    ULONG Bytes; /* 0: none; KT_EVERYTHING: it may be any */
} KT_ACCESS;
KT_ACCESS KtAccessOf(const FRAME *Frame, PKPCR Pcr); /* of the instruction that comes next */

#endif

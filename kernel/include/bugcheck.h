/* bugcheck.h: the end of the machine as ke/bugcheck.c hands it over: its state, and the next steps.
 *
 * bugcheck.c knows no step by name: the report, the dump and the callbacks register themselves. */
#ifndef _BUGCHECK_H_
#define _BUGCHECK_H_

#include <dump.h>
#include <ring.h>

/* The bugcheck that this machine dies of. Written once, by the CPU that wins the latch. */
typedef struct _BUG_STATE {
    ULONG Code; /* as rewritten */
    ULONG64 Parameter[4];
    PKTRAP_FRAME Frame;    /* NULL: raised by a call, not by a trap */
    ULONG64 Rip, Rbp, Rsp; /* Rip is a return address when there is no frame */
    ULONG64 Cr2;
    KD_REGISTERS Registers; /* without a frame: as the function that ends the machine found them */
    KIRQL Irql;             /* before dying raised it */
    ULONG Processor;
    PKPRCB Prcb; /* NULL: so early that there is none */
    PKTHREAD Thread;
    BOOLEAN IsCut; /* a step has faulted, and the rest were left out */
} BUG_STATE;
extern BUG_STATE KiBug;
/* A place where a function was left: the three registers that a stack walk needs. */
typedef struct _BUG_SPOT {
    ULONG64 Rip, Rbp, Rsp;
} BUG_SPOT;
BOOLEAN KiIsDying(VOID);
ULONG KiOtherBugCheck(ULONG Processor); /* the code with which a frozen CPU wanted to stop too; 0: it did not */

/* ---- The owner of an address, for the rewrite: the first finder that knows. Any IRQL, no locks, never faults ---- */
typedef enum _BUG_PLACE {
    InNothing = 0x01,
    InKernel = 0x02,
    InPoolCode = 0x04, /* of the kernel: code that follows pointers which a driver can damage (kernel/sources.mk) */
    InPageCode = 0x08,
    InPteCode = 0x10,
    InDriver = 0x20,
    InUnloadedDriver = 0x40,
    InFreedBlock = 0x80, /* of special pool */
    BeyondBlock = 0x100,
    NotInKernel = InNothing | InDriver | InUnloadedDriver,
    Anywhere = 0x1FF
} BUG_PLACE;
typedef ULONG BUG_FINDER(ULONG64 Address); /* a BUG_PLACE; 0: it does not know */
#define KE_BUG_FINDER(Routine_) static BUG_FINDER *const Routine_##Finder KE_ROW(".bugfinder") = Routine_
extern BUG_FINDER *const KiBugFinders[], *const KiBugFindersEnd[];

/* ---- The steps after the freeze, in their order, on the dying CPU, at HIGH_LEVEL ---- */
typedef struct _BUG_STEP {
    VOID (*Run)(VOID);
    /* The step itself has faulted: says so, and the next step follows. NULL: the machine ends with a few lines. */
    VOID (*Faulted)(ULONG Code, ULONG64 Rip, ULONG64 FaultAddress);
} BUG_STEP;
/* Order: two digits. 10 COM1, 20 the screen, 30 and 40 the dump, 50 the callbacks of drivers, 99 the end. */
#define KE_BUG_STEP(Order_, Run_, Faulted_) \
    static const BUG_STEP Run_##Step KE_ROW(".bugstep." #Order_) = {Run_, Faulted_}
extern const BUG_STEP KiBugSteps[], KiBugStepsEnd[];
/* For bugcheck.c alone (bugsteps.c). */
VOID KiRunBugSteps(VOID); /* from the one where it stopped; ends the machine */
/* A fault in the running step. TRUE: only that step is lost. FALSE: all the rest but the last. */
BOOLEAN KiLoseBugStep(ULONG Code, ULONG64 Rip, ULONG64 FaultAddress);

/* ---- The end that the scenario expects, told once (report/end.c) ---- */
extern PCSTR KiEndName;                   /* of the scenario, for the verdict */
VOID KeExpectEnd(PCSTR Name, ULONG Code); /* Code: the bugcheck that it is meant to end in; 0: none */

#endif

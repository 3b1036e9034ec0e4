/* bug.h: what the files that make a bugcheck (ke/bug*.c) know of each other. */
#ifndef _BUG_H_
#define _BUG_H_

#include <dump.h>
#include <kd.h>
#include <ke.h>

/* How the screen decodes a parameter; the names are those of bugcodes.def. */
typedef enum _BUG_KIND {
    KindUNUSED,
    KindPLAIN,
    KindNUMBER,
    KindADDRESS,
    KindLEVEL,
    KindACCESS,
    KindRAWACCESS,
    KindCODE,
    KindSTATUS,
    KindTHREAD,
    KindOBJECT,
    KindLOCK,
    KindPTE,
    KindPRCB,
    KindTAG,
    KindFRAME,
    KindRECORD,
    KindCONTEXT,
    KindTEXT,
    KindCount
} BUG_KIND;

/* One row of bugcodes.def. */
typedef struct _BUG_CODE {
    ULONG Code;
    PCSTR Name;
    UCHAR Kind[4];
    PCSTR Meaning[4];
    PCSTR Why, Fix;
} BUG_CODE;

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
} BUG_STATE;
extern BUG_STATE KiBug;

/* ---- bugtable.c ---- */
const BUG_CODE *KiFindBugCode(ULONG Code); /* never NULL: an unknown code has a row of its own */
/* What parameter Index (0..3) of the current bugcheck is: takes the sub-code in P1 into account. */
BUG_KIND KiParameterKind(ULONG Index, PCSTR *Meaning);
PCSTR KiParameterValueName(ULONG Index); /* "corrupt LIST_ENTRY ...", or NULL */

/* ---- bugdecode.c: all never fault, take no locks, any IRQL ---- */
PCSTR KiIrqlName(ULONG64 Irql);
BOOLEAN KiIsReadable(const void *Address, SIZE_T Bytes);
VOID KiDecodeParameter(ULONG Index, PCHAR Buffer, SIZE_T Bytes); /* "write to paged pool, tag 'Secr', ..." */
VOID KiDecodeErrorCode(ULONG64 ErrorCode, PCHAR Buffer, SIZE_T Bytes);
VOID KiDescribeLock(PKSPIN_LOCK Lock, PCHAR Buffer, SIZE_T Bytes);
VOID KiAppend(PCHAR Buffer, SIZE_T Bytes, PCSTR Format, ...);

/* ---- bugwindow.c: a rectangle of text, on the screen or on COM1 ---- */
typedef struct _BUG_WINDOW {
    ULONG Left, Top; /* screen only */
    ULONG Columns, Rows;
    ULONG Row;                                                 /* the next line; the lines used so far */
    enum { WindowSerial, WindowScreen, WindowMeasure } Target; /* measuring only counts lines */
    ULONG Paper;
} BUG_WINDOW;

/* Inks: control characters in the text; COM1 does not get them. */
#define INK_TEXT "\001"
#define INK_DIM "\002"
#define INK_MARK "\003"
#define INK_HEAD "\004"
ULONG KiBugInk(CHAR Ink); /* its colour */
/* Prints a paragraph: wrapped at blanks, continued lines are indented. Lines that find no room are dropped. */
VOID KiBugPrint(BUG_WINDOW *Window, ULONG Indent, PCSTR Format, ...);
VOID KiBugHeading(BUG_WINDOW *Window, PCSTR Text);

/* ---- bugreport.c, bugcpus.c: the parts of the report; each prints into a window ---- */
VOID KiReportStop(BUG_WINDOW *Window); /* the code and where */
VOID KiReportWhy(BUG_WINDOW *Window);
VOID KiReportParameters(BUG_WINDOW *Window);
VOID KiReportStack(BUG_WINDOW *Window);
VOID KiReportVerifier(BUG_WINDOW *Window); /* nothing when it knows nothing */
VOID KiReportMachine(BUG_WINDOW *Window);
VOID KiReportTrace(BUG_WINDOW *Window); /* bugtrace.c: the guilty CPU's last events; as many as there are rows for */
VOID KiReportProcessors(BUG_WINDOW *Window);
ULONG KiProcessorCount(VOID);
VOID KiReportFix(BUG_WINDOW *Window);
VOID KiReportOnSerial(VOID);
VOID KiReportOnScreen(VOID);                          /* bugscreen.c: the blue screen */
VOID KiFormatGuiltyFrame(PCHAR Buffer, SIZE_T Bytes); /* first frame that is not the kernel's; for the verdict */

VOID KiFormatCallingFrame(PCHAR Buffer, SIZE_T Bytes); /* the judged driver that the guilty module worked for, or "" */
VOID KiReportSpinLocks(BUG_WINDOW *Window);            /* CPUs that wait for a spin lock; COM1 only */

/* ---- bugdump.c ---- */
VOID KiNoteStopped(VOID); /* the other CPUs are frozen */

/* ---- bugcheck.c ---- */
BOOLEAN KiIsDying(VOID);
ULONG KiOtherBugCheck(ULONG Processor); /* the code with which a frozen CPU wanted to stop too; 0: it did not */

#endif

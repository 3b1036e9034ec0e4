/* bugreport.h: the report of a bugcheck: its parts, the windows they print into, the words for values. */
#ifndef _BUGREPORT_H_
#define _BUGREPORT_H_

#include <bugcheck.h>
#include <kd.h>

/* The screen's ways to decode a parameter; the names are those of bugcodes.def. */
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

/* ---- bugtable.c ---- */
const BUG_CODE *KiFindBugCode(ULONG Code); /* never NULL: an unknown code has a row of its own */
/* The kind of parameter Index (0..3) of the current bugcheck, with the sub-code in P1 taken into account. */
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
    ULONG Row;   /* the next line; the lines used so far */
    PCSTR Title; /* the heading that comes before the first line; NULL: it is there, or there is none */
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
VOID KiBugHeading(BUG_WINDOW *Window); /* the title now, also without a line */

/* ---- The parts of the report: each prints into a window, and registers its place ---- */
typedef enum _BUG_AREA {
    AreaSerial, /* on COM1 only */
    AreaBand,   /* the areas of the screen, from the top: bugscreen.c */
    AreaWhy,
    AreaParameters,
    AreaLeft,
    AreaRight,
    AreaSpare, /* below the left one, where it leaves room */
    AreaProcessors,
    AreaFix
} BUG_AREA;
typedef struct _BUG_PART {
    BUG_AREA Area;
    PCSTR Title; /* NULL: none. A part without lines has no heading either */
    VOID (*Print)(BUG_WINDOW *Window);
} BUG_PART;
/* Order: two digits, on COM1. */
#define KE_REPORT_PART(Order_, Area_, Title_, Print_) \
    static const BUG_PART Print_##Part KE_ROW(".reportpart." #Order_) = {Area_, Title_, Print_}
extern const BUG_PART KiReportParts[], KiReportPartsEnd[];
VOID KiPrintPart(const BUG_PART *Part, BUG_WINDOW *Window);

VOID KiReportOnSerial(VOID);
ULONG KiProcessorCount(VOID);
VOID KiFormatGuiltyFrame(PCHAR Buffer, SIZE_T Bytes);  /* first frame that is not the kernel's; for the verdict */
VOID KiFormatCallingFrame(PCHAR Buffer, SIZE_T Bytes); /* the judged driver that the guilty module worked for, or "" */

#endif

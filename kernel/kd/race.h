/* race.h: declarations shared by the files of the race detector (race.c). */
#ifndef _RACE_H_
#define _RACE_H_

#include <kd.h>

/* ---- An access, as the compiler's calls tell it ---- */
#define RACE_WRITE 1  /* or both, as an exchange */
#define RACE_MARKED 2 /* volatile, ReadNoFence, WriteNoFence, Interlocked...: meant to meet another CPU's */

#define RACE_FRAMES 12
typedef struct _RACE_ACCESS {
    ULONG64 Address, Bytes;
    ULONG Flags;
    ULONG Processor;
    KIRQL Irql;
    BOOLEAN IsDpc;
    ULONG FrameCount;
    CHAR Thread[24];
    KD_FRAME Frame[RACE_FRAMES]; /* the first is the access itself */
} RACE_ACCESS;

/* ---- race.c ---- */
extern volatile BOOLEAN KdpRaceIsOn;
extern volatile LONG KdpRaceWatches;    /* CPUs that watch an address now */
BOOLEAN KdpIsRaceWatchDue(ULONG64 Rip); /* counts an unmarked access; TRUE: it is to be watched */
/* Each access that may matter: compares it with those that are watched, and perhaps watches it. Any IRQL. */
VOID KdpRaceAccess(ULONG64 Address, ULONG64 Bytes, ULONG Flags, BOOLEAN IsDue, const KD_FRAME *First);

VOID KdpEndRaceWatches(VOID); /* in a dying machine: keeps the races of CPUs that were frozen while they watched */

/* ---- racereport.c ---- */
/* Keeps a race for its report. Other is NULL: the value has changed, and nothing tells by whom. Any IRQL. */
VOID KdpKeepRace(const RACE_ACCESS *Watched, const RACE_ACCESS *Other, ULONG64 Before, ULONG64 After);
extern volatile LONG KdpRacesUntold;
VOID KdpTellRaces(VOID); /* at an IRQL below DISPATCH_LEVEL, interrupts on; or in a dying machine */

#endif

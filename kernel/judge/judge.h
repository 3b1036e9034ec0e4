/* judge.h: declarations shared by the files that judge a driver: judge.c, watch.c, deadlock.c, left.c. */
#ifndef _JUDGE_H_
#define _JUDGE_H_

#include <inspect.h>
#include <kd.h>
#include <ldr.h>
#include <story.h>

#define JUDGE_MAXIMUM_DRIVERS 8
#define JUDGE_FUNCTION_BYTES (LDR_NAME_BYTES + 96)        /* "name!Function+0x12" */
#define JUDGE_FRAME_BYTES (JUDGE_FUNCTION_BYTES + 96)     /* the same with " (file.c:12)" */
#define JUDGE_SENTENCE_BYTES (JUDGE_FUNCTION_BYTES + 120) /* a function and what it is to the reader */

/* The drivers of this run, in the order in which they are loaded. */
extern CHAR JudgeNames[JUDGE_MAXIMUM_DRIVERS][LDR_NAME_BYTES];
extern ULONG JudgeNameCount;

/* Everything of the drivers that can still happen, at one instant. */
typedef struct _JUDGE_VIEW {
    ULONG Threads;     /* that have not ended */
    ULONG Blocked;     /* of these: wait, and no time-out will end the wait */
    ULONG Busy;        /* of these: run, or could, and have begun no wait for a second */
    ULONG Pending;     /* timers, DPCs, work items */
    ULONG Left;        /* requests that have not come back, APCs that have not run: alone they never will */
    ULONG Ended;       /* thread objects that outlive their thread: a handle or reference is left */
    ULONG64 Signature; /* the same as long as no thread gets anywhere */
    ULONG64 Cycle;     /* the same as long as the same threads wait for each other in a circle; 0: none */
} JUDGE_VIEW;

/* ---- watch.c: which threads and timers are the drivers' ---- */
BOOLEAN JudgeIsDriverAddress(ULONG64 Address); /* in a judged driver's image. Any IRQL */
VOID JudgeLook(JUDGE_VIEW *View);              /* PASSIVE */
BOOLEAN JudgeIsDriverThread(PKTHREAD Thread);  /* dispatcher lock held: its start routine or a frame is the driver's */
BOOLEAN JudgeIsBlocked(PKTHREAD Thread);       /* dispatcher lock held: waits without limit */
BOOLEAN JudgeIsDriverTimer(PKTIMER Timer);     /* dispatcher lock held */
ULONG JudgeWalkThread(PKTHREAD Thread, KD_FRAME *Frames, ULONG Maximum); /* dispatcher lock held, not running */
/* Whom a blocked thread waits for: the owner of what it waits for, or NULL. *HasEnded: the owner's thread is over, and
 * its object may be gone: only the address is left. Dispatcher lock held. */
PKTHREAD JudgeFindOwner(PKTHREAD Thread, BOOLEAN *HasEnded);
/* A number for the circle in which a thread's chain of owners leads back to it; 0: no circle. Dispatcher lock. */
ULONG64 JudgeFindCycle(PKTHREAD Thread);
/* The lock or object of a blocked thread, and its name in plain words. Dispatcher lock held. */
PVOID JudgeFindObject(PKTHREAD Thread, PCSTR *Kind);
/* Timers from before the drivers were loaded are not theirs. PASSIVE. */
VOID JudgeRememberTimers(VOID);

/* ---- deadlock.c: the explanation, on COM1 for people and on COM2 as data. PASSIVE ---- */
VOID JudgeExplainThreads(VOID); /* each thread: its lock or object, since when, its stack; then the cycle */
VOID JudgeExplainPending(VOID); /* each timer, DPC and work item that is queued */
VOID JudgeFormatName(ULONG64 Address, PCHAR Buffer, SIZE_T Bytes);   /* "secret!Work"; any IRQL */
VOID JudgeSummarize(BOOLEAN IsDeadlock, PCHAR Buffer, SIZE_T Bytes); /* the same in one line */
VOID JudgeSay(PCSTR Format, ...);                                    /* one line, both ways */

/* ---- left.c: requests and APCs ---- */
ULONG JudgeCountLeft(PKTHREAD Thread); /* with one thread; NULL: with those that have ended. Dispatcher lock held */
VOID JudgeExplainLeft(VOID);           /* each of them; PASSIVE */
VOID JudgeSummarizeLeft(PCHAR Buffer, SIZE_T Bytes); /* the first of them; PASSIVE */

#endif

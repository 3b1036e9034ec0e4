/* story-private.h: declarations shared by the files of story/. */
#ifndef _STORY_PRIVATE_H_
#define _STORY_PRIVATE_H_

#include <../drivers/demo/secret.h>
#include <story.h>

typedef struct _SCENARIO_ROW SCENARIO_ROW;
typedef NTSTATUS STORY_RUN(const SCENARIO_ROW *Scenario);

struct _SCENARIO_ROW {
    PCSTR Name, Title, Driver;
    STORY_END End;
    ULONG BugCheckCode;
    PCSTR WhatToSee;
    STORY_RUN *Run;
};

STORY_RUN StoryFiveActs, StoryStoreOnce, StoryStorePagedOut, StoryUnderPressure, StoryUnderVerifier;
extern const SCENARIO_ROW StoryScenarios[], StoryScenariosEnd[]; /* the core's and the ring's rows: kernel.ld */

/* One loaded demo driver. */
typedef struct _STORY_DRIVER {
    PCSTR Name;
    PDRIVER_OBJECT Object;
    SECRET_REPORT Report;
} STORY_DRIVER;

/* All at PASSIVE_LEVEL; they may wait. */
NTSTATUS StoryLoad(STORY_DRIVER *Driver, PCSTR Name);
NTSTATUS StoryStore(STORY_DRIVER *Driver, ULONG64 Number);
NTSTATUS StoryRead(STORY_DRIVER *Driver, ULONG64 *Number); /* touches the structure at PASSIVE_LEVEL */
NTSTATUS StoryPushOut(STORY_DRIVER *Driver);               /* trim, write, purge, with the PTE after each step */

/* ---- Single-stepping (step.c) ---- */
/* Where `tools/bugcheck step` stops. At PASSIVE_LEVEL, the routine at DISPATCH_LEVEL. */
DECLSPEC_NOINLINE VOID StepTakeTextbookLock(VOID);
DECLSPEC_NOINLINE VOID StepTakeBrokenLock(VOID);
DECLSPEC_NOINLINE VOID StepQueueDpc(VOID);
DECLSPEC_NOINLINE VOID StepPing(VOID);
DECLSPEC_NOINLINE VOID StepPong(VOID);
KDEFERRED_ROUTINE StepDpcRoutine;
/* brokenlock.asm: the lock that lets two CPUs in, and a sum for them to spoil. Like the textbook lock: no IRQL. */
VOID KiAcquireBrokenLock(volatile UCHAR *Lock);
VOID KiReleaseBrokenLock(volatile UCHAR *Lock);
VOID KiAddOne(volatile ULONG *Sum);

/* ---- Telling ---- */
VOID StorySay(PCSTR Format, ...); /* one paragraph: wrapped at 100 columns, indented */
VOID StoryHeading(PCSTR Format, ...);
VOID StoryShowPte(PCSTR When, PVOID Address);
VOID StoryShowFault(PVOID Address);    /* the last page fault, if it was for this page */
NTSTATUS StoryFail(PCSTR Format, ...); /* says what went wrong; returns STATUS_UNSUCCESSFUL */

#endif

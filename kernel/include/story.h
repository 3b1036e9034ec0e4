/* story.h: scenarios: what a boot shows, and how it is expected to end. */
#ifndef _STORY_H_
#define _STORY_H_

#include <ke.h>

typedef enum _STORY_END { END_COMPLETED, END_BUGCHECK } STORY_END;

/* Runs the scenario of the command line and ends the machine. PASSIVE, first thread. */
DECLSPEC_NORETURN VOID StoryRun(VOID);
/* Whether the chosen scenario is meant to end in this bugcheck. Any IRQL. */
BOOLEAN KiIsExpectedBugCheck(ULONG Code);
/* The name for the verdict line: the scenario, or "test", "bench". Any IRQL. */
PCSTR StoryName(VOID);

/* The driver that is being judged now, NULL: none. Any IRQL. */
PCSTR JudgeCurrentDriver(VOID);
VOID JudgeFormatCurrentRoutine(PCHAR Buffer, SIZE_T Bytes); /* its DriverEntry or DriverUnload, or its name. Any IRQL */
/* Whether an address is in a judged driver's image. Any IRQL. */
BOOLEAN JudgeIsDriverAddress(ULONG64 Address);

#endif

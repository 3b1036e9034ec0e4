/* story.h: scenarios: what a boot shows, and how it is expected to end. */
#ifndef _STORY_H_
#define _STORY_H_

#include <ke.h>

typedef enum _STORY_END { END_COMPLETED, END_BUGCHECK } STORY_END;

/* Runs the scenario of the command line and ends the machine. PASSIVE, first thread. */
DECLSPEC_NORETURN VOID StoryRun(VOID);

/* Whether an address is in a judged driver's image. Any IRQL. */
BOOLEAN JudgeIsDriverAddress(ULONG64 Address);

#endif

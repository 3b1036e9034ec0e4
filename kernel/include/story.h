/* story.h: scenarios: the story that a boot shows, and the end expected of it. */
#ifndef _STORY_H_
#define _STORY_H_

#include <ring.h>

typedef enum _STORY_END { END_COMPLETED, END_BUGCHECK } STORY_END;

/* Runs the scenario of the command line and ends the machine. PASSIVE, first thread. */
DECLSPEC_NORETURN VOID StoryRun(VOID);

/* A boot option that runs a routine in place of a scenario; the routine ends the machine. PASSIVE_LEVEL. */
typedef struct _STORY_MODE_ROW {
    PCSTR Name;
    VOID (*Run)(VOID);
} STORY_MODE_ROW;
#define STORY_MODE(Name_, Run_) static const STORY_MODE_ROW Name_##Mode KE_ROW(".storymode") = {#Name_, Run_}
extern const STORY_MODE_ROW StoryModes[], StoryModesEnd[];

#endif

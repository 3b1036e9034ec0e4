/* psp.h: what the files of ps/ know of each other. */
#ifndef _PSP_H_
#define _PSP_H_

#include <ob.h>
#include <ps.h>

#define PSP_SYSTEM_PROCESS_ID 4 /* all threads belong to the system process */

/* Thread objects delete themselves with this: nothing is left to do but to make sure that the reaper has seen them. */
extern OBJECT_TYPE PspThreadObjectType;
KSTART_ROUTINE PspReaperThread;

#endif

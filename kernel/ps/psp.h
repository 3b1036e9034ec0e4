/* psp.h: what the files of ps/ know of each other. */
#ifndef _PSP_H_
#define _PSP_H_

#include <ob.h>
#include <ps.h>

#define PSP_SYSTEM_PROCESS_ID 4 /* all threads belong to the system process */

extern OBJECT_TYPE PspThreadObjectType;
KSTART_ROUTINE PspReaperThread;

#endif

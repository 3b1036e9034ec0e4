/* psp.h: declarations shared by the files of ps/. */
#ifndef _PSP_H_
#define _PSP_H_

#include <ob.h>
#include <ps.h>
#include <ring.h>

#define PSP_SYSTEM_PROCESS_ID 4 /* all threads belong to the system process */

extern OBJECT_TYPE PspThreadObjectType;
KSTART_ROUTINE PspReaperThread;

/* create.c: a thread with a stack, laid out but not started, with two references: its own and the caller's. Name NULL: the
 * start routine's. <= DISPATCH_LEVEL. */
NTSTATUS PspCreateThread(PETHREAD *Created, PCSTR Name, KPRIORITY Priority, PKSTART_ROUTINE Start, PVOID Context);
VOID PspStartThread(PETHREAD Thread);                         /* lets it run. PASSIVE_LEVEL */
VOID PspTellOfThread(PETHREAD Thread, KE_THREAD_EVENT Event); /* those who watch threads */

/* Sets of notification routines (callback.c). Kind tells apart routines of different prototypes in one set. */
#define PSP_MAXIMUM_CALLBACKS 64
typedef struct _PSP_CALLBACK {
    PVOID volatile Routine;
    ULONG_PTR Kind;
    EX_RUNDOWN_REF Rundown;
    BOOLEAN IsRemoving;
} PSP_CALLBACK, *PPSP_CALLBACK;
typedef struct _PSP_CALLBACK_SET {
    volatile ULONG Count;
    PSP_CALLBACK Slots[PSP_MAXIMUM_CALLBACKS];
} PSP_CALLBACK_SET, *PPSP_CALLBACK_SET;
BOOLEAN PspAddCallback(PPSP_CALLBACK_SET Set, PVOID Routine, ULONG_PTR Kind); /* FALSE: full. <= DISPATCH */
BOOLEAN PspHasCallback(PPSP_CALLBACK_SET Set, PVOID Routine, ULONG_PTR Kind); /* <= DISPATCH */
/* Waits for those who are inside it. FALSE: not there. <= APC */
BOOLEAN PspRemoveCallback(PPSP_CALLBACK_SET Set, PVOID Routine, ULONG_PTR Kind);
/* The routine of a slot, which stays until PspLeaveCallback; NULL: none. <= DISPATCH */
PVOID PspEnterCallback(PPSP_CALLBACK_SET Set, ULONG Index, ULONG_PTR *Kind);
VOID PspLeaveCallback(PPSP_CALLBACK_SET Set, ULONG Index);

#endif

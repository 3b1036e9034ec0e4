/* psp.h: declarations shared by the files of ps/. */
#ifndef _PSP_H_
#define _PSP_H_

#include <ob.h>
#include <ps.h>

#define PSP_SYSTEM_PROCESS_ID 4 /* all threads belong to the system process */

extern OBJECT_TYPE PspThreadObjectType;
KSTART_ROUTINE PspReaperThread;

/* process.c: PASSIVE, once, before the first thread that a driver could see. */
VOID PspInitializeProcesses(VOID);

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

/* ob.h: objects with a header: reference counts, types, handles. */
#ifndef _OB_H_
#define _OB_H_

#include <ke.h>

typedef struct _OBJECT_TYPE {
    PCSTR Name;
    VOID(*Delete)
    (PVOID Object);              /* the last reference is gone; PASSIVE, may wait; Ob frees the memory. NULL: nothing */
    VOID (*Close)(PVOID Object); /* the last handle is closed; at the IRQL of ZwClose. NULL: nothing */
} OBJECT_TYPE;

/* Nonpaged, zeroed, one reference. NULL: no memory. <= DISPATCH. */
PVOID ObCreateObject(POBJECT_TYPE Type, SIZE_T Bytes);
NTSTATUS ObInsertHandle(PVOID Object, HANDLE *Handle); /* takes its own reference. <= APC */
POBJECT_TYPE ObGetType(PVOID Object);

#endif

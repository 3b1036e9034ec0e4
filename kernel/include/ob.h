/* ob.h: objects with a header: reference counts, types, handles. */
#ifndef _OB_H_
#define _OB_H_

#include <ke.h>

struct _OBJECT_TYPE {
    PCSTR Name;
    VOID (*Delete)(PVOID Object); /* last reference gone; PASSIVE or deferred by the type itself */
};

/* Nonpaged, zeroed, one reference. NULL: no memory. <= DISPATCH. */
PVOID ObCreateObject(POBJECT_TYPE Type, SIZE_T Bytes);
NTSTATUS ObInsertHandle(PVOID Object, HANDLE *Handle); /* takes its own reference. <= APC */
POBJECT_TYPE ObGetType(PVOID Object);

#endif

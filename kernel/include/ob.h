/* ob.h: objects with a header: reference counts, types, names, handles. */
#ifndef _OB_H_
#define _OB_H_

#include <ke.h>

#define OB_NOT_WAITABLE (-1)

typedef struct _OBJECT_TYPE {
    PCSTR Name;
    VOID(*Delete)
    (PVOID Object); /* the last reference is gone; PASSIVE, may wait; Ob frees the memory. NULL: nothing */
    /* The last handle is closed; at the IRQL of ZwClose, whose status this is. NULL: nothing. */
    NTSTATUS (*Close)(PVOID Object);
    /* The text that ObQueryNameString puts after the object's own name: a file's path on its device. Returns the bytes
     * it needs, and writes them if there is room; <= APC. NULL: nothing. */
    ULONG (*QueryName)(PVOID Object, PVOID *Owner, PWCH Buffer, ULONG Bytes);
    GENERIC_MAPPING Mapping; /* all zero: generic rights mean everything */
    ACCESS_MASK ValidAccess;
    LONG WaitOffset; /* of the dispatcher object in the object, or OB_NOT_WAITABLE */
} OBJECT_TYPE;

/* Nonpaged, zeroed, one reference. NULL: no memory. <= DISPATCH. */
PVOID ObCreateObject(POBJECT_TYPE Type, SIZE_T Bytes);
NTSTATUS ObInsertHandle(PVOID Object, HANDLE *Handle); /* takes its own reference; grants all access. <= DISPATCH */
/* The same with the rights that the handle has (generic ones are mapped) and OBJ_KERNEL_HANDLE in Attributes. */
NTSTATUS ObInsertHandleWithAccess(PVOID Object, ACCESS_MASK Access, ULONG Attributes, HANDLE *Handle);
/* ObReferenceObjectByHandle for a kernel caller whose access is checked all the same: STATUS_ACCESS_DENIED when Handle
 * has none of the rights of AnyOf (0: not checked). Granted may be NULL. <= DISPATCH. */
NTSTATUS ObReferenceHandleWithAccess(HANDLE Handle, POBJECT_TYPE Type, ACCESS_MASK AnyOf, ACCESS_MASK *Granted,
                                     PVOID *Object);
POBJECT_TYPE ObGetType(PVOID Object);
ACCESS_MASK ObMapAccess(POBJECT_TYPE Type, ACCESS_MASK Desired); /* generic rights and MAXIMUM_ALLOWED to specific */

/* ---- The name space (directory.c, lookup.c); all <= DISPATCH unless said otherwise ---- */
extern POBJECT_TYPE ObpDirectoryType, ObpSymbolicLinkType;

/* The result of a lookup. Release it with ObReleaseLookup. */
typedef struct _OB_LOOKUP {
    PVOID Object;        /* referenced; NULL: not found */
    PVOID Directory;     /* not found, but this directory, referenced, is where the last component would be */
    UNICODE_STRING Rest; /* found: the text behind the object's name, with its leading '\'; not found: that component */
    PWCH Buffer;         /* of Rest; nonpaged */
} OB_LOOKUP, *POB_LOOKUP;

/* Follows Name from Root (a directory object; NULL: the root) through directories and symbolic links to the first
 * object of another kind. Name may be paged if the IRQL allows its being read. Attributes: OBJ_CASE_INSENSITIVE, and
 * OBJ_OPENLINK when a last component that is a symbolic link is meant itself. STATUS_OBJECT_NAME_NOT_FOUND,
 * STATUS_OBJECT_PATH_NOT_FOUND, STATUS_OBJECT_PATH_SYNTAX_BAD, STATUS_INSUFFICIENT_RESOURCES; STATUS_ACCESS_VIOLATION:
 * Name's text is where no memory can be. */
NTSTATUS ObLookupName(PVOID Root, PCUNICODE_STRING Name, ULONG Attributes, POB_LOOKUP Lookup);
VOID ObReleaseLookup(POB_LOOKUP Lookup);
/* Gives Object a name that it keeps until ObRemoveName, or, unless IsPermanent, until its last handle is closed. The
 * name holds a reference. STATUS_OBJECT_NAME_COLLISION and those of ObLookupName. */
NTSTATUS ObInsertName(PVOID Object, PVOID Root, PCUNICODE_STRING Name, ULONG Attributes, BOOLEAN IsPermanent);
VOID ObRemoveName(PVOID Object); /* nothing happens if it has none */
/* A caller's OBJECT_ATTRIBUTES, and the name string that they lead to, in memory of ours; the name's text is copied
 * when it is looked up. NT reads all three inside __try for every caller. Reads that are documented nowhere stay
 * unguarded for a kernel caller: the place for a handle, a link target's own string, a client id, ByteOffset and Key.
 * STATUS_ACCESS_VIOLATION: no memory can be there. STATUS_INVALID_PARAMETER: none are given, or ones of another length.
 * The caller's IRQL. */
typedef struct _OB_CAPTURE {
    OBJECT_ATTRIBUTES Attributes; /* ObjectName leads to Name, or nowhere */
    UNICODE_STRING Name;
} OB_CAPTURE, *POB_CAPTURE;
NTSTATUS ObCaptureAttributes(POBJECT_ATTRIBUTES ObjectAttributes, POB_CAPTURE Capture);
/* Opens or creates by OBJECT_ATTRIBUTES, which it captures first. ObOpenByAttributes: an object of Type, referenced.
 * STATUS_INVALID_PARAMETER: no attributes, or ones of another length. */
NTSTATUS ObOpenByAttributes(POBJECT_ATTRIBUTES ObjectAttributes, POBJECT_TYPE Type, PVOID *Object);
/* Names a new object, inserts its handle and drops the caller's reference, also on failure. With OBJ_OPENIF and a name
 * that exists: opens that one, STATUS_OBJECT_NAME_EXISTS. */
NTSTATUS ObInsertNew(PVOID Object, POBJECT_ATTRIBUTES ObjectAttributes, ACCESS_MASK Access, HANDLE *Handle);
/* Opens the object of that name and type: as ObOpenByAttributes, with further Attributes, to a handle, which is NULL on
 * failure. PASSIVE. */
NTSTATUS ObOpenNamed(POBJECT_TYPE Type, POBJECT_ATTRIBUTES ObjectAttributes, ULONG Attributes, ACCESS_MASK Access,
                     HANDLE *Handle);
/* Without a name. STATUS_INVALID_PARAMETER, STATUS_INSUFFICIENT_RESOURCES. */
NTSTATUS ObCreateSymbolicLink(PCUNICODE_STRING Target, PVOID *Object);

/* Altitudes of callbacks (callback.c): decimal numbers of any length. */
BOOLEAN ObIsAltitude(PCUNICODE_STRING Altitude);
LONG ObCompareAltitudes(PCUNICODE_STRING A, PCUNICODE_STRING B);

#endif

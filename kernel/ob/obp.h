/* obp.h: declarations shared by the files of ob/: the header before each object, and its name. */
#ifndef _OBP_H_
#define _OBP_H_

#include <ob.h>

#define OBP_TAG 0x706A624FU /* 'Objp' */
#define OBP_NAME_TAG 0x6D4E624FU

/* An object's place in a directory. Guarded by ObpNameLock; freed without it. */
typedef struct _OBP_NAME {
    LIST_ENTRY ListEntry; /* in Directory */
    struct _OBP_DIRECTORY *Directory;
    PVOID Object;
    BOOLEAN IsPermanent;
    UNICODE_STRING Name; /* one component; the text follows the structure */
} OBP_NAME, *POBP_NAME;

/* A handle holds a reference too, so PointerCount >= HandleCount. */
typedef struct _OBJECT_HEADER {
    volatile LONG64 PointerCount;
    volatile LONG64 HandleCount;
    POBJECT_TYPE Type;
    struct _OBJECT_HEADER *NextToDelete;
    POBP_NAME Name; /* NULL: none. Guarded by ObpNameLock */
    ULONG64 Reserved;
} OBJECT_HEADER, *POBJECT_HEADER;

C_ASSERT(sizeof(OBJECT_HEADER) % 16 == 0);

/* The body of a directory object. */
typedef struct _OBP_DIRECTORY {
    LIST_ENTRY Names; /* guarded by ObpNameLock */
} OBP_DIRECTORY, *POBP_DIRECTORY;

/* The body of a symbolic link; the text follows it. */
typedef struct _OBP_SYMBOLIC_LINK {
    UNICODE_STRING Target;
    LARGE_INTEGER CreationTime;
} OBP_SYMBOLIC_LINK, *POBP_SYMBOLIC_LINK;

static FORCEINLINE POBJECT_HEADER ObpHeader(PVOID Object) {
    return (POBJECT_HEADER)Object - 1;
}

static FORCEINLINE PVOID ObpBody(POBJECT_HEADER Header) {
    return Header + 1;
}

extern KSPIN_LOCK ObpNameLock;
extern POBP_DIRECTORY ObpRoot;
/* The object of that name, without a reference. ObpNameLock held. */
PVOID ObpFindName(POBP_DIRECTORY Directory, PCUNICODE_STRING Name, BOOLEAN IsCaseInsensitive);
VOID ObpRemoveTemporaryName(PVOID Object); /* the last handle is closed, unless there is one again. <= DISPATCH */
NTSTATUS ObpDropHandle(PVOID Object);      /* one handle less; the caller has a reference. As ZwClose */

/* callback.c: one handle that is being made. Ask may take rights out of *Access; Tell follows each Ask. <= DISPATCH; above
 * APC_LEVEL no callback is asked. */
typedef struct _OBP_HANDLE_CALLBACKS {
    OB_OPERATION Operation;
    POBJECT_TYPE Type;
    ULONG Count;
    struct {
        struct _OBP_REGISTRATION *Registration;
        PVOID Context;
    } Calls[32];
} OBP_HANDLE_CALLBACKS, *POBP_HANDLE_CALLBACKS;
/* As ObInsertHandleWithAccess, for a handle that is created or duplicated. */
NTSTATUS ObpInsertHandle(PVOID Object, ACCESS_MASK Access, ULONG Attributes, OB_OPERATION Operation, HANDLE *Handle);
VOID ObpAskHandleCallbacks(POBP_HANDLE_CALLBACKS Callbacks, PVOID Object, BOOLEAN IsKernelHandle, ACCESS_MASK *Access);
VOID ObpTellHandleCallbacks(POBP_HANDLE_CALLBACKS Callbacks, PVOID Object, BOOLEAN IsKernelHandle, ACCESS_MASK Access,
                            NTSTATUS Status);

#endif

/* obp.h: what the files of ob/ know of each other: the header that stands before each object. */
#ifndef _OBP_H_
#define _OBP_H_

#include <ob.h>

#define OBP_TAG 0x706A624FU /* 'Objp' */

/* A handle holds a reference too, so PointerCount >= HandleCount. */
typedef struct _OBJECT_HEADER {
    volatile LONG64 PointerCount;
    volatile LONG64 HandleCount;
    POBJECT_TYPE Type;
    struct _OBJECT_HEADER *NextToDelete;
} OBJECT_HEADER, *POBJECT_HEADER;

C_ASSERT(sizeof(OBJECT_HEADER) % 16 == 0);

FORCEINLINE POBJECT_HEADER ObpHeader(PVOID Object) {
    return (POBJECT_HEADER)Object - 1;
}

FORCEINLINE PVOID ObpBody(POBJECT_HEADER Header) {
    return Header + 1;
}

#endif

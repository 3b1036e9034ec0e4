/* pagefault.h: the error code of a page fault, vector 14. Intel: "Page-Fault Exception". */
#ifndef _PAGEFAULT_H_
#define _PAGEFAULT_H_

#include <ntdef.h>

#define FAULT_PRESENT 0x01 /* the page is there, and its protection forbids the access */
#define FAULT_WRITE 0x02
#define FAULT_USER 0x04
#define FAULT_RESERVED 0x08 /* an entry on the way has a reserved bit set */
#define FAULT_FETCH 0x10

/* How 0xA and an exception record of an access violation number an access. */
enum { AccessRead = 0, AccessWrite = 1, AccessExecute = 8 };

static FORCEINLINE ULONG_PTR KiFaultAccess(ULONG64 ErrorCode) {
    return ErrorCode & FAULT_FETCH ? AccessExecute : ErrorCode & FAULT_WRITE ? AccessWrite : AccessRead;
}

#endif

/* malloc.h: memory from the function's stack, the one part of malloc.h for drivers. */
#ifndef _MALLOC_H_
#define _MALLOC_H_

#include <ntdef.h>

#define _alloca(Bytes) __builtin_alloca(Bytes)
#define alloca(Bytes) __builtin_alloca(Bytes)

#endif

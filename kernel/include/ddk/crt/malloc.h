/* malloc.h: memory from the stack of the function, which is all that a driver gets from this header. */
#ifndef _MALLOC_H_
#define _MALLOC_H_

#include <ntdef.h>

#define _alloca(Bytes) __builtin_alloca(Bytes)
#define alloca(Bytes) __builtin_alloca(Bytes)

#endif

/* ntdef.h: the basic types of NT source code, spelt for an LP64 compiler. LONG and ULONG stay 32 bits wide. */
#ifndef _NTDEF_H_
#define _NTDEF_H_

#include <nttypes.h>
#include <sal.h>

#endif

/* basetsd.h: forwards to ntdef.h, which has its types. */
#include <ntdef.h>

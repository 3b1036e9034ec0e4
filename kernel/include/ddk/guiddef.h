/* guiddef.h: forwards to ntdef.h, which has GUID. */
#include <ntdef.h>

/* minwindef.h: forwards to ntdef.h and windef.h, which have its types. */
#include <windef.h>

/* basetsd.h: its types stand in ntdef.h. */
#include <ntdef.h>

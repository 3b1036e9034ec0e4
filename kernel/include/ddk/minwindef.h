/* minwindef.h: its types stand in ntdef.h and windef.h. */
#include <windef.h>

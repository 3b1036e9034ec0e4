/* guiddef.h: what it defines stands in ntdef.h. */
#include <ntdef.h>

/* Ntdef.h: ntdef.h, as it is spelled where letter case does not matter. */
#include <ntdef.h>

/* Ntifs.h: ntifs.h, as it is spelled where letter case does not matter. */
#include <ntifs.h>

/* Ntintsafe.h: ntintsafe.h, as it is spelled where letter case does not matter. */
#include <ntintsafe.h>

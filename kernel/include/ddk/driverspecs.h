/* driverspecs.h: forwards to ntdef.h. */
#include <ntdef.h>

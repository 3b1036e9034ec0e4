/* stdio.h: for drivers: the C run-time library of the kernel stands in one header. */
#include <wdmcrt.h>

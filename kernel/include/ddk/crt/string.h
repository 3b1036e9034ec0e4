/* string.h: forwards to the kernel's C run-time header. */
#include <wdmcrt.h>

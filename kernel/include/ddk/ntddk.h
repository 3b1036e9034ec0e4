/* ntddk.h: what legacy drivers include; here everything that they need stands in wdm.h. */
#ifndef _NTDDK_H_
#define _NTDDK_H_

#include <wdm.h>

#endif

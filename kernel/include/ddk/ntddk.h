/* ntddk.h: the header of legacy drivers; all of it is in wdm.h. */
#ifndef _NTDDK_H_
#define _NTDDK_H_

#include <wdm.h>

#endif

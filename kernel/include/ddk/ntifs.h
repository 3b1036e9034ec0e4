/* ntifs.h: what file systems include: ntddk.h and more. */
#ifndef _NTIFS_H_
#define _NTIFS_H_

#include <ntddk.h>

#endif

/* ntifs.h: the header of file systems: ntddk.h and more. */
#ifndef _NTIFS_H_
#define _NTIFS_H_

#include <ntddk.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A file system holds its locks with normal kernel APCs off: no one can end or suspend its thread there. */
#define FsRtlEnterFileSystem KeEnterCriticalRegion
#define FsRtlExitFileSystem KeLeaveCriticalRegion

#ifdef __cplusplus
}
#endif

#endif

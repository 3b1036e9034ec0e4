/* ntifs.h: what file systems include: ntddk.h and more. */
#ifndef _NTIFS_H_
#define _NTIFS_H_

#include <ntddk.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Asynchronous procedure calls: exported by NT, declared by no WDK header, used by file systems and security tools ---- */
typedef enum _KAPC_ENVIRONMENT {
    OriginalApcEnvironment,
    AttachedApcEnvironment,
    CurrentApcEnvironment
} KAPC_ENVIRONMENT;

VOID KeInitializeApc(PRKAPC Apc, PKTHREAD Thread, KAPC_ENVIRONMENT Environment, PKKERNEL_ROUTINE KernelRoutine,
                     PKRUNDOWN_ROUTINE RundownRoutine, PKNORMAL_ROUTINE NormalRoutine, KPROCESSOR_MODE Mode,
                     PVOID Context);
BOOLEAN KeInsertQueueApc(PRKAPC Apc, PVOID SystemArgument1, PVOID SystemArgument2, KPRIORITY Increment);
BOOLEAN KeRemoveQueueApc(PRKAPC Apc);

/* A file system holds its locks with normal kernel APCs off: no one can end or suspend its thread there. */
#define FsRtlEnterFileSystem KeEnterCriticalRegion
#define FsRtlExitFileSystem KeLeaveCriticalRegion

#ifdef __cplusplus
}
#endif

#endif

/* secret.h: the demo drivers' common ground: a structure, two control codes, two functions that vary. */
#ifndef _SECRET_H_
#define _SECRET_H_

#include <ntddk.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SECRET_TAG 'rceS' /* reads "Secr" in memory */

typedef struct _SECRET {
    ULONG64 Number;
    ULONG64 Writes;
    CHAR Note[32];
} SECRET, *PSECRET;

/* Input of the first: the number, a ULONG64. Output of the second: a SECRET_REPORT, read at PASSIVE_LEVEL. */
#define IOCTL_SECRET_STORE CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define IOCTL_SECRET_READ CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define IOCTL_SECRET_LOCATE CTL_CODE(FILE_DEVICE_UNKNOWN, 0x802, METHOD_BUFFERED, FILE_ANY_ACCESS)

typedef struct _SECRET_REPORT {
    PVOID Address; /* of what the driver is about to touch: its structure, or for pageable code the function */
    SIZE_T Bytes;
    ULONG64 Number; /* only IOCTL_SECRET_READ */
    ULONG64 Writes;
} SECRET_REPORT, *PSECRET_REPORT;

/* The variant's own file defines these. */
extern PSECRET Secret;            /* NULL until SecretCreate */
NTSTATUS SecretCreate(VOID);      /* PASSIVE_LEVEL */
VOID SecretStore(ULONG64 Number); /* PASSIVE_LEVEL in and out; in between is the lesson */
VOID SecretLocate(PSECRET_REPORT Report);

#ifdef __cplusplus
}
#endif
#endif

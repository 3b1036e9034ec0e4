/* mutex.c: fix two: a fast mutex guards the structure: a page fault at IRQL 1 may wait for the disk. */
#include "secret.h"

PSECRET Secret;
static FAST_MUTEX SecretMutex; /* was KSPIN_LOCK */

NTSTATUS SecretCreate(VOID) {
    ExInitializeFastMutex(&SecretMutex);
    Secret = ExAllocatePoolWithTag(PagedPool, sizeof(SECRET), SECRET_TAG);
    if (!Secret) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Secret, sizeof(SECRET));
    return STATUS_SUCCESS;
}

VOID SecretStore(ULONG64 Number) {
    ExAcquireFastMutex(&SecretMutex);
    KdPrint(("mutex: IRQL %u: writing %I64u to %p\n", KeGetCurrentIrql(), Number, Secret));
    Secret->Number = Number;
    Secret->Writes++;
    ExReleaseFastMutex(&SecretMutex);
}

VOID SecretLocate(PSECRET_REPORT Report) {
    Report->Address = Secret;
    Report->Bytes = sizeof(SECRET);
}

/* passive.c: the control: the same touch without the lock, at IRQL 0, where the page comes back. */
#include "secret.h"

PSECRET Secret;

NTSTATUS SecretCreate(VOID) {
    Secret = ExAllocatePoolWithTag(PagedPool, sizeof(SECRET), SECRET_TAG);
    if (!Secret) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Secret, sizeof(SECRET));
    return STATUS_SUCCESS;
}

VOID SecretStore(ULONG64 Number) {
    KdPrint(("passive: IRQL %u: writing %I64u to %p\n", KeGetCurrentIrql(), Number, Secret));
    Secret->Number = Number;
    Secret->Writes++;
}

VOID SecretLocate(PSECRET_REPORT Report) {
    Report->Address = Secret;
    Report->Bytes = sizeof(SECRET);
}

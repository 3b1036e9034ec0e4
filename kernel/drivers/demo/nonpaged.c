/* nonpaged.c: fix one: the structure is in nonpaged pool, which is always resident. */
#include "secret.h"

PSECRET Secret;
static KSPIN_LOCK SecretLock;

NTSTATUS SecretCreate(VOID) {
    KeInitializeSpinLock(&SecretLock);
    Secret = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(SECRET), SECRET_TAG); /* was PagedPool */
    if (!Secret) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Secret, sizeof(SECRET));
    return STATUS_SUCCESS;
}

VOID SecretStore(ULONG64 Number) {
    KIRQL OldIrql;

    KeAcquireSpinLock(&SecretLock, &OldIrql);
    KdPrint(
        ("nonpaged: IRQL %u, lock word %Iu: writing %I64u to %p\n", KeGetCurrentIrql(), SecretLock, Number, Secret));
    Secret->Number = Number;
    Secret->Writes++;
    KeReleaseSpinLock(&SecretLock, OldIrql);
}

VOID SecretLocate(PSECRET_REPORT Report) {
    Report->Address = Secret;
    Report->Bytes = sizeof(SECRET);
}

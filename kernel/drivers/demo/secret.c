/* secret.c: the bug: a structure in paged pool is written while a spin lock is held. */
#include "secret.h"

PSECRET Secret;
static KSPIN_LOCK SecretLock;

NTSTATUS SecretCreate(VOID) {
    KeInitializeSpinLock(&SecretLock);
    Secret = ExAllocatePoolWithTag(PagedPool, sizeof(SECRET), SECRET_TAG);
    if (!Secret) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Secret, sizeof(SECRET));
    return STATUS_SUCCESS;
}

VOID SecretStore(ULONG64 Number) {
    KIRQL OldIrql;

    KdPrint(("secret: IRQL %u, lock word %Iu: acquiring\n", KeGetCurrentIrql(), SecretLock));
    KeAcquireSpinLock(&SecretLock, &OldIrql);
    KdPrint(("secret: IRQL %u, lock word %Iu: writing %I64u to %p\n", KeGetCurrentIrql(), SecretLock, Number, Secret));
    Secret->Number = Number;
    Secret->Writes++;
    KeReleaseSpinLock(&SecretLock, OldIrql);
    KdPrint(("secret: IRQL %u, lock word %Iu: released\n", KeGetCurrentIrql(), SecretLock));
}

VOID SecretLocate(PSECRET_REPORT Report) {
    Report->Address = Secret;
    Report->Bytes = sizeof(SECRET);
}

/* pagecode.c: paged code: a function in a PAGE section called while a spin lock is held. */
#include "secret.h"

PSECRET Secret;
static KSPIN_LOCK SecretLock;

static ULONG64 Scramble(ULONG64 Number);
#pragma alloc_text(PAGE, Scramble)

static ULONG64 Scramble(ULONG64 Number) {
    return Number * 6364136223846793005ULL + 1442695040888963407ULL;
}

NTSTATUS SecretCreate(VOID) {
    KeInitializeSpinLock(&SecretLock);
    Secret = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(SECRET), SECRET_TAG);
    if (!Secret) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Secret, sizeof(SECRET));
    return STATUS_SUCCESS;
}

VOID SecretStore(ULONG64 Number) {
    KIRQL OldIrql;

    KeAcquireSpinLock(&SecretLock, &OldIrql);
    KdPrint(("pagecode: IRQL %u: calling the function at %p\n", KeGetCurrentIrql(), Scramble));
    Secret->Number = Scramble(Number);
    Secret->Writes++;
    KeReleaseSpinLock(&SecretLock, OldIrql);
}

VOID SecretLocate(PSECRET_REPORT Report) {
    Report->Address = (PVOID)Scramble;
    Report->Bytes = 16;
}

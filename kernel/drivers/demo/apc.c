/* apc.c: the border: the same touch at APC_LEVEL, the highest IRQL at which a page fault is legal. */
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
    KIRQL OldIrql;

    KeRaiseIrql(APC_LEVEL, &OldIrql);
    KdPrint(("apc: IRQL %u: writing %I64u to %p\n", KeGetCurrentIrql(), Number, Secret));
    Secret->Number = Number;
    Secret->Writes++;
    KeLowerIrql(OldIrql);
}

VOID SecretLocate(PSECRET_REPORT Report) {
    Report->Address = Secret;
    Report->Bytes = sizeof(SECRET);
}

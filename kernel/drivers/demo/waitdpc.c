/* waitdpc.c: a DPC that waits for an event: no thread can be switched to, so the machine stops. */
#include "secret.h"

PSECRET Secret;
static KDPC StoreDpc;
static KEVENT Permission, Done;

static VOID StoreRoutine(PKDPC Dpc, PVOID Context, PVOID Number, PVOID Unused) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Unused);
    KdPrint(("waitdpc: in the DPC, IRQL %u: waiting for an event\n", KeGetCurrentIrql()));
    KeWaitForSingleObject(&Permission, Executive, KernelMode, FALSE, NULL);
    Secret->Number = (ULONG64)Number;
    Secret->Writes++;
    KeSetEvent(&Done, IO_NO_INCREMENT, FALSE);
}

NTSTATUS SecretCreate(VOID) {
    KeInitializeDpc(&StoreDpc, StoreRoutine, NULL);
    KeInitializeEvent(&Permission, NotificationEvent, FALSE);
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    Secret = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(SECRET), SECRET_TAG);
    if (!Secret) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Secret, sizeof(SECRET));
    return STATUS_SUCCESS;
}

VOID SecretStore(ULONG64 Number) {
    KeInsertQueueDpc(&StoreDpc, (PVOID)Number, NULL);
    KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
}

VOID SecretLocate(PSECRET_REPORT Report) {
    Report->Address = Secret;
    Report->Bytes = sizeof(SECRET);
}

/* doublefree.c: a pool block freed twice: the second time, its header tells. */
#include "secret.h"

PSECRET Secret;

NTSTATUS SecretCreate(VOID) {
    Secret = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(SECRET), SECRET_TAG);
    if (!Secret) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Secret, sizeof(SECRET));
    return STATUS_SUCCESS;
}

VOID SecretStore(ULONG64 Number) {
    Secret->Number = Number;
    KdPrint(("doublefree: freeing %p\n", Secret));
    ExFreePoolWithTag(Secret, SECRET_TAG);
    KdPrint(("doublefree: freeing %p again\n", Secret));
    ExFreePoolWithTag(Secret, SECRET_TAG);
    Secret = NULL;
}

VOID SecretLocate(PSECRET_REPORT Report) {
    Report->Address = Secret;
    Report->Bytes = sizeof(SECRET);
}

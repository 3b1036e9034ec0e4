/* stackover.c: a recursion into the guard page below the 24 KiB of kernel stack. */
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

/* Each call keeps 256 bytes alive until all the calls below it have returned: 24 KiB are used up after about 70. */
static ULONG64 SumDownFrom(ULONG64 Number) {
    volatile UCHAR Scratch[256];

    Scratch[Number % sizeof(Scratch)] = (UCHAR)Number;
    return Number == 0 ? 0 : SumDownFrom(Number - 1) + Scratch[Number % sizeof(Scratch)];
}

VOID SecretStore(ULONG64 Number) {
    Secret->Number = SumDownFrom(Number * Number); /* no test had a number this large */
    Secret->Writes++;
}

VOID SecretLocate(PSECRET_REPORT Report) {
    Report->Address = Secret;
    Report->Bytes = sizeof(SECRET);
}

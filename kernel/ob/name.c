/* name.c: from an object to its full name, built from its last component back to the root. */
#include "obp.h"

/* Prepends "\component" for the object and each directory above it, as far as there is room. Returns the bytes of all.
 * ObpNameLock held. */
static ULONG BuildBackwards(PVOID Object, PUCHAR Start, PUCHAR End) {
    ULONG Bytes = 0;
    for (POBP_NAME Name = ObpHeader(Object)->Name; Name != NULL; Name = ObpHeader(Name->Directory)->Name) {
        ULONG Needed = Name->Name.Length + sizeof(WCHAR);
        Bytes += Needed;
        if (Start != NULL && End - Start >= (LONG_PTR)Needed) {
            End -= Needed;
            *(PWCH)End = '\\';
            memcpy(End + sizeof(WCHAR), Name->Name.Buffer, Name->Name.Length);
        } else {
            Start = NULL;
        }
    }
    return Bytes;
}

/* The name into Scratch, ending at its end. Returns its bytes. Scratch may be too small or NULL. */
static ULONG BuildName(PVOID Object, PVOID Scratch, ULONG ScratchBytes) {
    if (Object == ObpRoot) {
        if (ScratchBytes >= sizeof(WCHAR)) {
            ((PWCH)((PUCHAR)Scratch + ScratchBytes))[-1] = '\\';
        }
        return sizeof(WCHAR);
    }
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&ObpNameLock);
    ULONG Bytes = BuildBackwards(Object, Scratch, (PUCHAR)Scratch + ScratchBytes);
    KeReleaseSpinLock(&ObpNameLock, OldIrql);
    return Bytes;
}

static NTSTATUS CopyName(PVOID Owner, PVOID Object, POBJECT_NAME_INFORMATION Info, ULONG Length, PULONG ReturnLength,
                         PUCHAR Scratch, ULONG OwnBytes) {
    POBJECT_TYPE Type = ObGetType(Object);
    ULONG TailBytes = Type->QueryName == NULL ? 0 : Type->QueryName(Object, NULL, NULL, 0);
    ULONG NameBytes = OwnBytes + TailBytes;
    ULONG Needed = sizeof(*Info) + (NameBytes == 0 ? 0 : NameBytes + sizeof(WCHAR));
    if (ReturnLength != NULL) {
        *ReturnLength = Needed;
    }
    if (Length < Needed) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    if (NameBytes == 0) {
        Info->Name = (UNICODE_STRING){0, 0, NULL};
        return STATUS_SUCCESS;
    }
    PUCHAR Text = (PUCHAR)(Info + 1);
    if (BuildName(Owner, Scratch, OwnBytes) != OwnBytes) {
        return STATUS_OBJECT_NAME_NOT_FOUND; /* it was renamed or deleted meanwhile */
    }
    if (Scratch != NULL) { /* it is NULL where nothing but the tail is to be copied */
        memcpy(Text, Scratch, OwnBytes);
    }
    if (TailBytes != 0) {
        Type->QueryName(Object, NULL, (PWCH)(Text + OwnBytes), TailBytes);
    }
    *(PWCH)(Text + NameBytes) = 0;
    Info->Name = (UNICODE_STRING){(USHORT)NameBytes, (USHORT)(NameBytes + sizeof(WCHAR)), (PWCH)Text};
    return STATUS_SUCCESS;
}

/* <= APC_LEVEL. An object without a name: an empty string and success. STATUS_INFO_LENGTH_MISMATCH with the bytes that
 * it takes in *ReturnLength. ntifs.h: ObQueryNameString. */
NTSTATUS ObQueryNameString(PVOID Object, POBJECT_NAME_INFORMATION ObjectNameInfo, ULONG Length, PULONG ReturnLength) {
    PVOID Owner = Object; /* a file's name begins with its device's */
    if (ObGetType(Object)->QueryName != NULL) {
        ObGetType(Object)->QueryName(Object, &Owner, NULL, 0);
    }
    ULONG OwnBytes = BuildName(Owner, NULL, 0);
    PVOID Scratch = NULL;
    if (OwnBytes != 0) {
        Scratch = ExAllocatePoolWithTag(NonPagedPoolNx, OwnBytes, OBP_NAME_TAG); /* it is written under a spin lock */
        if (Scratch == NULL) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
    }
    NTSTATUS Status = CopyName(Owner, Object, ObjectNameInfo, Length, ReturnLength, Scratch, OwnBytes);
    if (Scratch != NULL) {
        ExFreePoolWithTag(Scratch, OBP_NAME_TAG);
    }
    return Status;
}

/* registry.c: registry callbacks: registered and removed, never called, since there is no registry. The book-keeping is
 * whole, for its statuses are what drivers see. */
#include <ob.h>

#define CALLBACK_TAG 0x62634D43U /* 'CMcb' */

typedef struct _CM_CALLBACK {
    LIST_ENTRY ListEntry;
    LARGE_INTEGER Cookie;
    PEX_CALLBACK_FUNCTION Function;
    PVOID Context;
    UNICODE_STRING Altitude; /* its text follows; empty: CmRegisterCallback */
} CM_CALLBACK, *PCM_CALLBACK;

KE_DECLARE_LOCK(CmpCallbackLock, RANK_OBJECT, "the registry callbacks that are registered");
/* Guarded by CmpCallbackLock. */
static LIST_ENTRY Callbacks = {&Callbacks, &Callbacks};
static LONGLONG LastCookie;

/* Lock held. */
static BOOLEAN HasAltitude(PCUNICODE_STRING Altitude) {
    for (PLIST_ENTRY Entry = Callbacks.Flink; Entry != &Callbacks; Entry = Entry->Flink) {
        PCM_CALLBACK Callback = CONTAINING_RECORD(Entry, CM_CALLBACK, ListEntry);
        if (Callback->Altitude.Length != 0 && ObCompareAltitudes(&Callback->Altitude, Altitude) == 0) {
            return TRUE;
        }
    }
    return FALSE;
}

/* A cookie is never given out twice; it starts from the time, as NT's does. Lock held. */
static VOID InsertCallback(PCM_CALLBACK Callback) {
    LARGE_INTEGER Now;
    KeQuerySystemTime(&Now);
    LastCookie = Now.QuadPart > LastCookie ? Now.QuadPart : LastCookie + 1;
    Callback->Cookie.QuadPart = LastCookie;
    InsertTailList(&Callbacks, &Callback->ListEntry);
}

static NTSTATUS Register(PEX_CALLBACK_FUNCTION Function, PCUNICODE_STRING Altitude, PVOID Context,
                         PLARGE_INTEGER Cookie) {
    USHORT Bytes = Altitude == NULL ? 0 : Altitude->Length;
    NTSTATUS Status = STATUS_SUCCESS;
    KIRQL OldIrql;
    PCM_CALLBACK New = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*New) + Bytes, CALLBACK_TAG);
    if (New == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    *New = (CM_CALLBACK){.Function = Function, .Context = Context, .Altitude = {Bytes, Bytes, (PWCH)(New + 1)}};
    if (Bytes != 0) {
        RtlCopyMemory(New + 1, Altitude->Buffer, Bytes);
    }
    KeAcquireSpinLock(&CmpCallbackLock, &OldIrql);
    if (Bytes != 0 && HasAltitude(&New->Altitude)) {
        Status = STATUS_FLT_INSTANCE_ALTITUDE_COLLISION;
    } else {
        InsertCallback(New);
    }
    KeReleaseSpinLock(&CmpCallbackLock, OldIrql);
    if (NT_SUCCESS(Status)) {
        *Cookie = New->Cookie;
    } else {
        ExFreePoolWithTag(New, CALLBACK_TAG);
    }
    return Status;
}

/* <= APC_LEVEL. STATUS_INSUFFICIENT_RESOURCES. wdm.h: CmRegisterCallback. */
NTSTATUS CmRegisterCallback(PEX_CALLBACK_FUNCTION Function, PVOID Context, PLARGE_INTEGER Cookie) {
    return Register(Function, NULL, Context, Cookie);
}

/* <= APC_LEVEL. STATUS_INVALID_PARAMETER: no driver, or no altitude that is a number;
 * STATUS_FLT_INSTANCE_ALTITUDE_COLLISION, STATUS_INSUFFICIENT_RESOURCES. wdm.h: CmRegisterCallbackEx. */
NTSTATUS CmRegisterCallbackEx(PEX_CALLBACK_FUNCTION Function, PCUNICODE_STRING Altitude, PVOID Driver, PVOID Context,
                              PLARGE_INTEGER Cookie, PVOID Reserved) {
    if (Driver == NULL || Reserved != NULL || Altitude == NULL || !ObIsAltitude(Altitude)) {
        return STATUS_INVALID_PARAMETER;
    }
    return Register(Function, Altitude, Context, Cookie);
}

/* <= APC_LEVEL. STATUS_INVALID_PARAMETER: no such cookie. Would wait for running callbacks; none ever runs. */
NTSTATUS CmUnRegisterCallback(LARGE_INTEGER Cookie) {
    PCM_CALLBACK Found = NULL;
    KIRQL OldIrql;
    KeAcquireSpinLock(&CmpCallbackLock, &OldIrql);
    for (PLIST_ENTRY Entry = Callbacks.Flink; Entry != &Callbacks && Found == NULL; Entry = Entry->Flink) {
        PCM_CALLBACK Callback = CONTAINING_RECORD(Entry, CM_CALLBACK, ListEntry);
        if (Callback->Cookie.QuadPart == Cookie.QuadPart) {
            Found = Callback;
        }
    }
    if (Found != NULL) {
        RemoveEntryList(&Found->ListEntry);
    }
    KeReleaseSpinLock(&CmpCallbackLock, OldIrql);
    if (Found == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    ExFreePoolWithTag(Found, CALLBACK_TAG);
    return STATUS_SUCCESS;
}

/* Any IRQL. */
VOID CmGetCallbackVersion(PULONG Major, PULONG Minor) {
    *Major = 1;
    *Minor = 1;
}

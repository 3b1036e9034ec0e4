/* callback.c: handle callbacks: drivers' routines before and after a process or thread handle is made.
 *
 * Registrations are sorted by altitude. Before a handle is made the highest is called first, and each may take rights
 * away; afterwards they are called in the opposite order. A caller inside a registration's routines holds its rundown
 * protection from the first call to the second, so that unregistering waits for both. */
#include "obp.h"
#include <ps.h>

#define CALLBACK_TAG 0x6C46624FU /* 'ObFl' */
#define MAXIMUM_REGISTRATIONS 32

typedef struct _OBP_REGISTRATION {
    LIST_ENTRY ListEntry; /* Registrations; highest altitude first */
    EX_RUNDOWN_REF Rundown;
    PVOID Context;
    UNICODE_STRING Altitude; /* its text follows the operations */
    ULONG Count;
    OB_OPERATION_REGISTRATION Operations[];
} OBP_REGISTRATION, *POBP_REGISTRATION;

KE_DECLARE_LOCK(ObpCallbackLock, RANK_OBJECT, "the object callbacks that are registered");
static LIST_ENTRY Registrations = {&Registrations, &Registrations}; /* guarded by ObpCallbackLock */
static volatile ULONG RegistrationCount;

/* Decimal numbers of any length, compared as numbers: "385201.5" is above "45000". < 0, 0, > 0. */
LONG ObCompareAltitudes(PCUNICODE_STRING A, PCUNICODE_STRING B) {
    ULONG Lengths[2], Starts[2];
    PCUNICODE_STRING Strings[2] = {A, B};
    for (ULONG n = 0; n < 2; n++) {
        ULONG Characters = Strings[n]->Length / sizeof(WCHAR), Start = 0, End;
        while (Start < Characters && Strings[n]->Buffer[Start] == '0') {
            Start++;
        }
        for (End = Start; End < Characters && Strings[n]->Buffer[End] != '.';) {
            End++;
        }
        Starts[n] = Start;
        Lengths[n] = End - Start;
    }
    if (Lengths[0] != Lengths[1]) {
        return (LONG)Lengths[0] - (LONG)Lengths[1];
    }
    UNICODE_STRING Rest[2];
    for (ULONG n = 0; n < 2; n++) {
        Rest[n] = *Strings[n];
        Rest[n].Buffer += Starts[n];
        Rest[n].Length = (USHORT)(Rest[n].Length - Starts[n] * sizeof(WCHAR));
    }
    return RtlCompareUnicodeString(&Rest[0], &Rest[1], FALSE);
}

/* A number with at most one point. */
BOOLEAN ObIsAltitude(PCUNICODE_STRING Altitude) {
    ULONG Points = 0, Characters = Altitude->Length / sizeof(WCHAR);
    for (ULONG i = 0; i < Characters; i++) {
        WCHAR Character = Altitude->Buffer[i];
        Points += Character == '.';
        if (Character != '.' && (Character < '0' || Character > '9')) {
            return FALSE;
        }
    }
    return Characters != 0 && Points <= 1;
}

static NTSTATUS CheckOperation(const OB_OPERATION_REGISTRATION *Operation) {
    const OB_OPERATION All = OB_OPERATION_HANDLE_CREATE | OB_OPERATION_HANDLE_DUPLICATE;
    if (Operation->ObjectType == NULL ||
        (*Operation->ObjectType != *PsProcessType && *Operation->ObjectType != *PsThreadType) ||
        Operation->Operations == 0 || (Operation->Operations & ~All) != 0 ||
        (Operation->PreOperation == NULL && Operation->PostOperation == NULL)) {
        return STATUS_INVALID_PARAMETER;
    }
    if ((Operation->PreOperation != NULL && !PsIsIntegrityChecked((PVOID)Operation->PreOperation)) ||
        (Operation->PostOperation != NULL && !PsIsIntegrityChecked((PVOID)Operation->PostOperation))) {
        return STATUS_ACCESS_DENIED;
    }
    return STATUS_SUCCESS;
}

/* A copy of what the driver passed, not yet in the list. */
static POBP_REGISTRATION CopyRegistration(POB_CALLBACK_REGISTRATION Given) {
    SIZE_T OperationBytes = Given->OperationRegistrationCount * sizeof(OB_OPERATION_REGISTRATION);
    POBP_REGISTRATION Copy =
        ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Copy) + OperationBytes + Given->Altitude.Length, CALLBACK_TAG);
    if (Copy != NULL) {
        ExInitializeRundownProtection(&Copy->Rundown);
        Copy->Context = Given->RegistrationContext;
        Copy->Count = Given->OperationRegistrationCount;
        RtlCopyMemory(Copy->Operations, Given->OperationRegistration, OperationBytes);
        Copy->Altitude.Buffer = (PWCH)&Copy->Operations[Copy->Count];
        Copy->Altitude.Length = Copy->Altitude.MaximumLength = Given->Altitude.Length;
        RtlCopyMemory(Copy->Altitude.Buffer, Given->Altitude.Buffer, Given->Altitude.Length);
    }
    return Copy;
}

/* Into its place by altitude. Lock held. */
static NTSTATUS InsertSorted(POBP_REGISTRATION New) {
    PLIST_ENTRY Entry = Registrations.Flink;
    for (; Entry != &Registrations; Entry = Entry->Flink) {
        LONG Order =
            ObCompareAltitudes(&New->Altitude, &CONTAINING_RECORD(Entry, OBP_REGISTRATION, ListEntry)->Altitude);
        if (Order == 0) {
            return STATUS_FLT_INSTANCE_ALTITUDE_COLLISION;
        }
        if (Order > 0) {
            break;
        }
    }
    if (RegistrationCount == MAXIMUM_REGISTRATIONS) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    InsertTailList(Entry, &New->ListEntry);
    RegistrationCount++;
    return STATUS_SUCCESS;
}

/* <= APC_LEVEL. STATUS_ACCESS_DENIED: a routine in an image without the integrity-check flag (0x20);
 * STATUS_FLT_INSTANCE_ALTITUDE_COLLISION, STATUS_INVALID_PARAMETER, STATUS_INSUFFICIENT_RESOURCES.
 * wdm.h: ObRegisterCallbacks. */
NTSTATUS ObRegisterCallbacks(POB_CALLBACK_REGISTRATION CallbackRegistration, PVOID *RegistrationHandle) {
    POB_CALLBACK_REGISTRATION Given = CallbackRegistration;
    if ((Given->Version & 0xFF00) != (OB_FLT_REGISTRATION_VERSION & 0xFF00) || Given->OperationRegistrationCount == 0 ||
        !ObIsAltitude(&Given->Altitude)) {
        return STATUS_INVALID_PARAMETER;
    }
    for (ULONG i = 0; i < Given->OperationRegistrationCount; i++) {
        NTSTATUS Status = CheckOperation(&Given->OperationRegistration[i]);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
    }
    POBP_REGISTRATION New = CopyRegistration(Given);
    if (New == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KIRQL OldIrql;
    KeAcquireSpinLock(&ObpCallbackLock, &OldIrql);
    NTSTATUS Status = InsertSorted(New);
    KeReleaseSpinLock(&ObpCallbackLock, OldIrql);
    if (NT_SUCCESS(Status)) {
        *RegistrationHandle = New;
    } else {
        ExFreePoolWithTag(New, CALLBACK_TAG);
    }
    return Status;
}

/* <= APC_LEVEL. Waits until no CPU is inside the routines. wdm.h: ObUnRegisterCallbacks. */
VOID ObUnRegisterCallbacks(PVOID RegistrationHandle) {
    POBP_REGISTRATION Registration = RegistrationHandle;
    KIRQL OldIrql;
    ExWaitForRundownProtectionRelease(&Registration->Rundown);
    KeAcquireSpinLock(&ObpCallbackLock, &OldIrql);
    RemoveEntryList(&Registration->ListEntry);
    RegistrationCount--;
    KeReleaseSpinLock(&ObpCallbackLock, OldIrql);
    ExFreePoolWithTag(Registration, CALLBACK_TAG);
}

/* Any IRQL. wdm.h: ObGetFilterVersion. */
USHORT ObGetFilterVersion(VOID) {
    return OB_FLT_REGISTRATION_VERSION;
}

static const OB_OPERATION_REGISTRATION *FindOperation(const OBP_REGISTRATION *Registration, POBJECT_TYPE Type,
                                                      OB_OPERATION Operation) {
    for (ULONG i = 0; i < Registration->Count; i++) {
        if (*Registration->Operations[i].ObjectType == Type &&
            (Registration->Operations[i].Operations & Operation) != 0) {
            return &Registration->Operations[i];
        }
    }
    return NULL;
}

/* Those who want to know of this operation, protected against being unregistered. */
static ULONG Collect(POBP_HANDLE_CALLBACKS Callbacks) {
    KIRQL OldIrql;
    ULONG Count = 0;
    KeAcquireSpinLock(&ObpCallbackLock, &OldIrql);
    for (PLIST_ENTRY Entry = Registrations.Flink; Entry != &Registrations; Entry = Entry->Flink) {
        POBP_REGISTRATION Registration = CONTAINING_RECORD(Entry, OBP_REGISTRATION, ListEntry);
        if (FindOperation(Registration, Callbacks->Type, Callbacks->Operation) != NULL &&
            ExAcquireRundownProtection(&Registration->Rundown)) {
            Callbacks->Calls[Count++].Registration = Registration;
        }
    }
    KeReleaseSpinLock(&ObpCallbackLock, OldIrql);
    return Count;
}

/* See obp.h. */
VOID ObpAskHandleCallbacks(POBP_HANDLE_CALLBACKS Callbacks, PVOID Object, BOOLEAN IsKernelHandle, ACCESS_MASK *Access) {
    /* The rights of a creation stand at the same place. */
    OB_PRE_OPERATION_PARAMETERS Parameters = {
        .DuplicateHandleInformation = {*Access, *Access, IoGetCurrentProcess(), IoGetCurrentProcess()}};
    Callbacks->Type = ObGetType(Object);
    Callbacks->Count = 0;
    C_ASSERT(RTL_NUMBER_OF(Callbacks->Calls) == MAXIMUM_REGISTRATIONS);
    if (RegistrationCount == 0 || KiCurrentIrql() > APC_LEVEL) {
        return;
    }
    Callbacks->Count = Collect(Callbacks);
    for (ULONG i = 0; i < Callbacks->Count; i++) {
        POBP_REGISTRATION Registration = Callbacks->Calls[i].Registration;
        const OB_OPERATION_REGISTRATION *Operation = FindOperation(Registration, Callbacks->Type, Callbacks->Operation);
        OB_PRE_OPERATION_INFORMATION Information = {.Operation = Callbacks->Operation,
                                                    .Flags = IsKernelHandle,
                                                    .Object = Object,
                                                    .ObjectType = Callbacks->Type,
                                                    .Parameters = &Parameters};
        NT_ASSERT(Operation != NULL); /* Collect saw to it */
        if (Operation->PreOperation != NULL) {
            Operation->PreOperation(Registration->Context, &Information);
        }
        Callbacks->Calls[i].Context = Information.CallContext;
    }
    *Access &= Parameters.CreateHandleInformation.DesiredAccess; /* rights can be taken away, not added */
}

/* See obp.h. */
VOID ObpTellHandleCallbacks(POBP_HANDLE_CALLBACKS Callbacks, PVOID Object, BOOLEAN IsKernelHandle, ACCESS_MASK Access,
                            NTSTATUS Status) {
    for (ULONG i = Callbacks->Count; i-- > 0;) {
        POBP_REGISTRATION Registration = Callbacks->Calls[i].Registration;
        const OB_OPERATION_REGISTRATION *Operation = FindOperation(Registration, Callbacks->Type, Callbacks->Operation);
        OB_POST_OPERATION_PARAMETERS Parameters = {.CreateHandleInformation = {NT_SUCCESS(Status) ? Access : 0}};
        OB_POST_OPERATION_INFORMATION Information = {.Operation = Callbacks->Operation,
                                                     .Flags = IsKernelHandle,
                                                     .Object = Object,
                                                     .ObjectType = Callbacks->Type,
                                                     .CallContext = Callbacks->Calls[i].Context,
                                                     .ReturnStatus = Status,
                                                     .Parameters = &Parameters};
        NT_ASSERT(Operation != NULL); /* Collect saw to it */
        if (Operation->PostOperation != NULL) {
            Operation->PostOperation(Registration->Context, &Information);
        }
        ExReleaseRundownProtection(&Registration->Rundown);
    }
}

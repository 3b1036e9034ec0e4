/* callback.c: callback objects: drivers meet at \Callback\Name, some to call, some to be called.
 *
 * A registration that is being called is busy; it leaves the list when it is unregistered and no longer busy, and the
 * event says when. Routines are called at the IRQL of the one who notifies, which may be DISPATCH_LEVEL. */
#include <ob.h>
#include <ring.h>

#define CALLBACK_TAG 0x6C6C6143U /* 'Call' */

typedef struct _CALLBACK_OBJECT {
    ULONG Signature;
    BOOLEAN AllowMultipleCallbacks;
    KSPIN_LOCK Lock;
    LIST_ENTRY Registered; /* CALLBACK_REGISTRATION; guarded by Lock */
    KEVENT Idle;           /* pulsed when a registration that is to go is no longer busy */
} CALLBACK_OBJECT;

typedef struct _CALLBACK_REGISTRATION {
    LIST_ENTRY Link;
    PCALLBACK_OBJECT CallbackObject;
    PCALLBACK_FUNCTION CallbackFunction;
    PVOID CallbackContext;
    ULONG Busy;
    BOOLEAN UnregisterWaiting;
} CALLBACK_REGISTRATION, *PCALLBACK_REGISTRATION;

static OBJECT_TYPE CallbackObjectType = {
    .Name = "Callback", .ValidAccess = CALLBACK_ALL_ACCESS, .WaitOffset = OB_NOT_WAITABLE};

static PCALLBACK_OBJECT CreateObject(BOOLEAN AllowMultipleCallbacks) {
    PCALLBACK_OBJECT Object = ObCreateObject(&CallbackObjectType, sizeof(*Object));
    if (Object != NULL) {
        Object->Signature = CALLBACK_TAG;
        Object->AllowMultipleCallbacks = AllowMultipleCallbacks;
        KeInitializeSpinLock(&Object->Lock);
        InitializeListHead(&Object->Registered);
        KeInitializeEvent(&Object->Idle, NotificationEvent, FALSE);
    }
    return Object;
}

/* The name space is there. The callbacks that NT has from the start. */
static VOID MakeSystemCallbacks(VOID) {
    static const PCWSTR Names[] = {L"\\Callback\\SetSystemTime", L"\\Callback\\PowerState",
                                   L"\\Callback\\ProcessorAdd"};
    for (ULONG i = 0; i < RTL_NUMBER_OF(Names); i++) {
        UNICODE_STRING Name;
        RtlInitUnicodeString(&Name, Names[i]);
        PCALLBACK_OBJECT Object = CreateObject(TRUE);
        if (Object != NULL) {
            ObInsertName(Object, NULL, &Name, OBJ_CASE_INSENSITIVE, TRUE);
            ObfDereferenceObject(Object);
        }
    }
}
KE_STARTUP_STEP(StartAfterDisks, MakeSystemCallbacks);

/* PASSIVE_LEVEL. Opens the callback object of that name, or makes it if Create says so; without a name it always makes
 * one. The caller drops the reference. STATUS_OBJECT_NAME_NOT_FOUND and other results of a lookup,
 * STATUS_INSUFFICIENT_RESOURCES. wdm.h: ExCreateCallback. */
NTSTATUS ExCreateCallback(PCALLBACK_OBJECT *CallbackObject, POBJECT_ATTRIBUTES ObjectAttributes, BOOLEAN Create,
                          BOOLEAN AllowMultipleCallbacks) {
    PVOID Object = NULL;
    NTSTATUS Status = STATUS_OBJECT_NAME_NOT_FOUND;
    BOOLEAN HasName = ObjectAttributes->ObjectName != NULL;
    if (HasName) {
        Status = ObOpenByAttributes(ObjectAttributes, &CallbackObjectType, &Object);
    }
    if (!NT_SUCCESS(Status) && Create && Status == STATUS_OBJECT_NAME_NOT_FOUND) {
        Object = CreateObject(AllowMultipleCallbacks);
        if (Object == NULL) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        Status = HasName ? ObInsertName(Object, NULL, ObjectAttributes->ObjectName, ObjectAttributes->Attributes,
                                        (ObjectAttributes->Attributes & OBJ_PERMANENT) != 0)
                         : STATUS_SUCCESS;
        if (!NT_SUCCESS(Status)) {
            ObfDereferenceObject(Object);
        }
    }
    if (NT_SUCCESS(Status)) {
        *CallbackObject = Object;
    }
    return Status;
}

/* <= APC_LEVEL. NULL: no memory, or another driver is registered and the object allows only one. */
PVOID ExRegisterCallback(PCALLBACK_OBJECT CallbackObject, PCALLBACK_FUNCTION CallbackFunction, PVOID CallbackContext) {
    KIRQL OldIrql;
    PCALLBACK_REGISTRATION New = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*New), CALLBACK_TAG);
    if (New == NULL) {
        return NULL;
    }
    *New = (CALLBACK_REGISTRATION){
        .CallbackObject = CallbackObject, .CallbackFunction = CallbackFunction, .CallbackContext = CallbackContext};
    ObfReferenceObject(CallbackObject);
    KeAcquireSpinLock(&CallbackObject->Lock, &OldIrql);
    BOOLEAN IsAllowed = CallbackObject->AllowMultipleCallbacks || IsListEmpty(&CallbackObject->Registered);
    if (IsAllowed) {
        InsertTailList(&CallbackObject->Registered, &New->Link);
    }
    KeReleaseSpinLock(&CallbackObject->Lock, OldIrql);
    if (!IsAllowed) {
        ObfDereferenceObject(CallbackObject);
        ExFreePoolWithTag(New, CALLBACK_TAG);
        return NULL;
    }
    return New;
}

/* <= APC_LEVEL. Waits until no CPU is inside the routine. */
VOID ExUnregisterCallback(PVOID CallbackRegistration) {
    PCALLBACK_REGISTRATION Registration = CallbackRegistration;
    PCALLBACK_OBJECT Object = Registration->CallbackObject;
    KIRQL OldIrql;
    KeAcquireSpinLock(&Object->Lock, &OldIrql);
    while (Registration->Busy != 0) {
        Registration->UnregisterWaiting = TRUE;
        KeClearEvent(&Object->Idle);
        KeReleaseSpinLock(&Object->Lock, OldIrql);
        KeWaitForSingleObject(&Object->Idle, Executive, KernelMode, FALSE, NULL);
        KeAcquireSpinLock(&Object->Lock, &OldIrql);
    }
    RemoveEntryList(&Registration->Link);
    KeReleaseSpinLock(&Object->Lock, OldIrql);
    ExFreePoolWithTag(Registration, CALLBACK_TAG);
    ObfDereferenceObject(Object);
}

/* <= DISPATCH_LEVEL. Calls every registered routine, in the order of registration, at the caller's IRQL. */
VOID ExNotifyCallback(PVOID CallbackObject, PVOID Argument1, PVOID Argument2) {
    PCALLBACK_OBJECT Object = CallbackObject;
    KIRQL OldIrql;
    if (Object == NULL) {
        return;
    }
    KeAcquireSpinLock(&Object->Lock, &OldIrql);
    for (PLIST_ENTRY Entry = Object->Registered.Flink; Entry != &Object->Registered; Entry = Entry->Flink) {
        PCALLBACK_REGISTRATION Registration = CONTAINING_RECORD(Entry, CALLBACK_REGISTRATION, Link);
        if (Registration->UnregisterWaiting) {
            continue;
        }
        Registration->Busy++; /* keeps it in the list */
        KeReleaseSpinLock(&Object->Lock, OldIrql);
        Registration->CallbackFunction(Registration->CallbackContext, Argument1, Argument2);
        KeAcquireSpinLock(&Object->Lock, &OldIrql);
        if (--Registration->Busy == 0 && Registration->UnregisterWaiting) {
            KeSetEvent(&Object->Idle, IO_NO_INCREMENT, FALSE);
        }
    }
    KeReleaseSpinLock(&Object->Lock, OldIrql);
}

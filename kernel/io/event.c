/* event.c: events as objects, with handles and names, and waits on a handle. */
#include "iop.h"

static struct _OBJECT_TYPE EventType = {.Name = "Event",
                                        .Mapping = {STANDARD_RIGHTS_READ | EVENT_QUERY_STATE,
                                                    STANDARD_RIGHTS_WRITE | EVENT_MODIFY_STATE,
                                                    STANDARD_RIGHTS_EXECUTE | SYNCHRONIZE, EVENT_ALL_ACCESS},
                                        .ValidAccess = EVENT_ALL_ACCESS,
                                        .WaitOffset = 0};
static POBJECT_TYPE EventTypePointer = &EventType;
POBJECT_TYPE *ExEventObjectType = &EventTypePointer;

/* PASSIVE_LEVEL. ObjectAttributes may be NULL. STATUS_OBJECT_NAME_COLLISION, with OBJ_OPENIF STATUS_OBJECT_NAME_EXISTS.
 * ntifs.h: ZwCreateEvent. */
NTSTATUS ZwCreateEvent(PHANDLE EventHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                       EVENT_TYPE EventType_, BOOLEAN InitialState) {
    *EventHandle = NULL;
    if (EventType_ != NotificationEvent && EventType_ != SynchronizationEvent) {
        return STATUS_INVALID_PARAMETER;
    }
    PKEVENT Event = ObCreateObject(&EventType, sizeof(*Event));
    if (Event == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KeInitializeEvent(Event, EventType_, InitialState);
    return ObInsertNew(Event, ObjectAttributes, DesiredAccess, EventHandle);
}

/* PASSIVE_LEVEL. */
NTSTATUS ZwOpenEvent(PHANDLE EventHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes) {
    return ObOpenNamed(&EventType, ObjectAttributes, 0, DesiredAccess, EventHandle);
}

static NTSTATUS ChangeEvent(HANDLE EventHandle, PLONG PreviousState, LONG (*Change)(PKEVENT Event)) {
    PVOID Event;
    NTSTATUS Status = ObReferenceHandleWithAccess(EventHandle, &EventType, EVENT_MODIFY_STATE, NULL, &Event);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    LONG Previous = Change(Event);
    if (PreviousState != NULL) {
        *PreviousState = Previous;
    }
    ObfDereferenceObject(Event);
    return STATUS_SUCCESS;
}

static LONG Set(PKEVENT Event) {
    return KeSetEvent(Event, EVENT_INCREMENT, FALSE);
}

/* <= DISPATCH_LEVEL. PreviousState may be NULL. ntifs.h: ZwSetEvent. */
NTSTATUS ZwSetEvent(HANDLE EventHandle, PLONG PreviousState) {
    return ChangeEvent(EventHandle, PreviousState, Set);
}

/* <= DISPATCH_LEVEL. */
NTSTATUS ZwResetEvent(HANDLE EventHandle, PLONG PreviousState) {
    return ChangeEvent(EventHandle, PreviousState, KeResetEvent);
}

/* <= DISPATCH_LEVEL. */
NTSTATUS ZwClearEvent(HANDLE EventHandle) {
    return ChangeEvent(EventHandle, NULL, KeResetEvent);
}

/* <= APC_LEVEL. A file is waited for by its own event. STATUS_OBJECT_TYPE_MISMATCH for an object without a wait.
 * ntifs.h: ZwWaitForSingleObject. */
NTSTATUS ZwWaitForSingleObject(HANDLE Handle, BOOLEAN Alertable, PLARGE_INTEGER Timeout) {
    PVOID Object;
    NTSTATUS Status = ObReferenceHandleWithAccess(Handle, NULL, SYNCHRONIZE, NULL, &Object);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    LONG Offset = ObGetType(Object)->WaitOffset;
    Status = STATUS_OBJECT_TYPE_MISMATCH;
    if (Offset != OB_NOT_WAITABLE) {
        Status = KeWaitForSingleObject((PUCHAR)Object + Offset, UserRequest, KernelMode, Alertable, Timeout);
    }
    ObfDereferenceObject(Object);
    return Status;
}

/* The event of that name, made if there is none; set when made. The pointer is good as long as the handle. */
static PKEVENT CreateOrOpen(PUNICODE_STRING EventName, PHANDLE EventHandle, EVENT_TYPE Type) {
    OBJECT_ATTRIBUTES Attributes;
    PVOID Event;
    InitializeObjectAttributes(&Attributes, EventName, OBJ_OPENIF | OBJ_KERNEL_HANDLE, NULL, NULL);
    NTSTATUS Status = ZwCreateEvent(EventHandle, EVENT_ALL_ACCESS, &Attributes, Type, TRUE);
    if (!NT_SUCCESS(Status)) {
        return NULL;
    }
    Status = ObReferenceObjectByHandle(*EventHandle, 0, &EventType, KernelMode, &Event, NULL);
    if (!NT_SUCCESS(Status)) {
        return NULL;
    }
    ObfDereferenceObject(Event);
    return Event;
}

/* PASSIVE_LEVEL. NULL: no memory, or another kind of object has the name. wdm.h: IoCreateNotificationEvent. */
PKEVENT IoCreateNotificationEvent(PUNICODE_STRING EventName, PHANDLE EventHandle) {
    return CreateOrOpen(EventName, EventHandle, NotificationEvent);
}

/* PASSIVE_LEVEL. wdm.h: IoCreateSynchronizationEvent. */
PKEVENT IoCreateSynchronizationEvent(PUNICODE_STRING EventName, PHANDLE EventHandle) {
    return CreateOrOpen(EventName, EventHandle, SynchronizationEvent);
}

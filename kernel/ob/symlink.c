/* symlink.c: symbolic links: an object whose name stands for another name. */
#include "obp.h"

static struct _OBJECT_TYPE SymbolicLinkType = {
    .Name = "SymbolicLink",
    .Mapping = {STANDARD_RIGHTS_READ | SYMBOLIC_LINK_QUERY, STANDARD_RIGHTS_WRITE,
                STANDARD_RIGHTS_EXECUTE | SYMBOLIC_LINK_QUERY, SYMBOLIC_LINK_ALL_ACCESS},
    .ValidAccess = SYMBOLIC_LINK_ALL_ACCESS,
    .WaitOffset = OB_NOT_WAITABLE};
POBJECT_TYPE ObpSymbolicLinkType = &SymbolicLinkType;

/* See ob.h. All of the target's buffer is kept, so that a query gets the terminator too. STATUS_ACCESS_VIOLATION: its
 * buffer is where no memory can be. */
NTSTATUS ObCreateSymbolicLink(PCUNICODE_STRING Target, PVOID *Object) {
    USHORT Room = (USHORT)(Target->MaximumLength & ~1U);
    *Object = NULL;
    if (Target->Length % sizeof(WCHAR) != 0 || Room == 0 || Room < Target->Length) {
        return STATUS_INVALID_PARAMETER;
    }
    POBP_SYMBOLIC_LINK Link = ObCreateObject(ObpSymbolicLinkType, sizeof(*Link) + Room);
    if (Link == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Link->Target = (UNICODE_STRING){Target->Length, Room, (PWCH)(Link + 1)};
    NTSTATUS Status = KiCopyGuarded(Link->Target.Buffer, Target->Buffer, Room);
    if (!NT_SUCCESS(Status)) {
        ObfDereferenceObject(Link);
        return Status;
    }
    KeQuerySystemTime(&Link->CreationTime);
    *Object = Link;
    return STATUS_SUCCESS;
}

/* The link stays until IoDeleteSymbolicLink, also after its maker's end. The target need not exist. PASSIVE_LEVEL.
 * STATUS_OBJECT_NAME_COLLISION; STATUS_INVALID_PARAMETER: a target without a buffer length.
 * wdm.h: IoCreateSymbolicLink. */
NTSTATUS IoCreateSymbolicLink(PUNICODE_STRING SymbolicLinkName, PUNICODE_STRING DeviceName) {
    PAGED_CODE();
    PVOID Link;
    NTSTATUS Status = ObCreateSymbolicLink(DeviceName, &Link);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObInsertName(Link, NULL, SymbolicLinkName, OBJ_CASE_INSENSITIVE, TRUE);
    ObfDereferenceObject(Link);
    return Status;
}

/* There are no access rights to differ in. PASSIVE_LEVEL. wdm.h: IoCreateUnprotectedSymbolicLink. */
NTSTATUS IoCreateUnprotectedSymbolicLink(PUNICODE_STRING SymbolicLinkName, PUNICODE_STRING DeviceName) {
    return IoCreateSymbolicLink(SymbolicLinkName, DeviceName);
}

/* PASSIVE_LEVEL. STATUS_OBJECT_NAME_NOT_FOUND; STATUS_OBJECT_TYPE_MISMATCH when the name is no link.
 * wdm.h: IoDeleteSymbolicLink. */
NTSTATUS IoDeleteSymbolicLink(PUNICODE_STRING SymbolicLinkName) {
    PAGED_CODE();
    OBJECT_ATTRIBUTES Attributes;
    PVOID Link;
    InitializeObjectAttributes(&Attributes, SymbolicLinkName, OBJ_CASE_INSENSITIVE | OBJ_OPENLINK, NULL, NULL);
    NTSTATUS Status = ObOpenByAttributes(&Attributes, ObpSymbolicLinkType, &Link);
    if (NT_SUCCESS(Status)) {
        ObRemoveName(Link);
        ObfDereferenceObject(Link);
    }
    return Status;
}

/* PASSIVE_LEVEL. STATUS_INVALID_PARAMETER as IoCreateSymbolicLink. ntifs.h: ZwCreateSymbolicLinkObject. */
NTSTATUS ZwCreateSymbolicLinkObject(PHANDLE LinkHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                                    PUNICODE_STRING LinkTarget) {
    PVOID Link;
    NTSTATUS Status = ObCreateSymbolicLink(LinkTarget, &Link);
    if (Status == STATUS_ACCESS_VIOLATION) {
        return Status; /* the handle is left alone, as on NT */
    }
    if (!NT_SUCCESS(Status)) {
        *LinkHandle = NULL;
        return Status;
    }
    return ObInsertNew(Link, ObjectAttributes, DesiredAccess, LinkHandle);
}

/* PASSIVE_LEVEL. wdm.h: ZwOpenSymbolicLinkObject. */
NTSTATUS ZwOpenSymbolicLinkObject(PHANDLE LinkHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes) {
    return ObOpenNamed(ObpSymbolicLinkType, ObjectAttributes, OBJ_OPENLINK, DesiredAccess, LinkHandle);
}

/* PASSIVE_LEVEL. With ReturnedLength all that was given as the target is asked for, the terminator behind its text as
 * well; without, the text alone. STATUS_BUFFER_TOO_SMALL, and LinkTarget is as before.
 * wdm.h: ZwQuerySymbolicLinkObject. */
NTSTATUS ZwQuerySymbolicLinkObject(HANDLE LinkHandle, PUNICODE_STRING LinkTarget, PULONG ReturnedLength) {
    PVOID Object;
    NTSTATUS Status = ObReferenceHandleWithAccess(LinkHandle, ObpSymbolicLinkType, SYMBOLIC_LINK_QUERY, NULL, &Object);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    POBP_SYMBOLIC_LINK Link = Object;
    USHORT Bytes = ReturnedLength != NULL ? Link->Target.MaximumLength : Link->Target.Length;
    if (ReturnedLength != NULL) {
        *ReturnedLength = Bytes;
    }
    if (LinkTarget->MaximumLength < Bytes) {
        Status = STATUS_BUFFER_TOO_SMALL;
    } else {
        memcpy(LinkTarget->Buffer, Link->Target.Buffer, Bytes);
        LinkTarget->Length = Link->Target.Length;
    }
    ObfDereferenceObject(Link);
    return Status;
}

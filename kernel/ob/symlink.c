/* symlink.c: symbolic links: an object whose name stands for another name. */
#include "obp.h"

static struct _OBJECT_TYPE SymbolicLinkType = {
    .Name = "SymbolicLink",
    .Mapping = {STANDARD_RIGHTS_READ | SYMBOLIC_LINK_QUERY, STANDARD_RIGHTS_WRITE,
                STANDARD_RIGHTS_EXECUTE | SYMBOLIC_LINK_QUERY, SYMBOLIC_LINK_ALL_ACCESS},
    .ValidAccess = SYMBOLIC_LINK_ALL_ACCESS,
    .WaitOffset = OB_NOT_WAITABLE};
POBJECT_TYPE ObpSymbolicLinkType = &SymbolicLinkType;

/* See ob.h. */
PVOID ObCreateSymbolicLink(PCUNICODE_STRING Target) {
    POBP_SYMBOLIC_LINK Link = ObCreateObject(ObpSymbolicLinkType, sizeof(*Link) + Target->Length);
    if (Link != NULL) {
        Link->Target = (UNICODE_STRING){Target->Length, Target->Length, (PWCH)(Link + 1)};
        memcpy(Link->Target.Buffer, Target->Buffer, Target->Length);
        KeQuerySystemTime(&Link->CreationTime);
    }
    return Link;
}

/* The link stays until IoDeleteSymbolicLink, whoever made it. The target need not exist. PASSIVE_LEVEL.
 * STATUS_OBJECT_NAME_COLLISION. wdm.h: IoCreateSymbolicLink. */
NTSTATUS IoCreateSymbolicLink(PUNICODE_STRING SymbolicLinkName, PUNICODE_STRING DeviceName) {
    PAGED_CODE();
    PVOID Link = ObCreateSymbolicLink(DeviceName);
    if (Link == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    NTSTATUS Status = ObInsertName(Link, NULL, SymbolicLinkName, OBJ_CASE_INSENSITIVE, TRUE);
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

/* PASSIVE_LEVEL. */
NTSTATUS ZwCreateSymbolicLinkObject(PHANDLE LinkHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                                    PUNICODE_STRING LinkTarget) {
    PVOID Link = ObCreateSymbolicLink(LinkTarget);
    if (Link == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    return ObInsertNew(Link, ObjectAttributes, DesiredAccess, LinkHandle);
}

/* PASSIVE_LEVEL. */
NTSTATUS ZwOpenSymbolicLinkObject(PHANDLE LinkHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes) {
    OBJECT_ATTRIBUTES Attributes = *ObjectAttributes;
    PVOID Link;
    Attributes.Attributes |= OBJ_OPENLINK;
    NTSTATUS Status = ObOpenByAttributes(&Attributes, ObpSymbolicLinkType, &Link);
    if (NT_SUCCESS(Status)) {
        Status = ObInsertHandleWithAccess(Link, DesiredAccess, Attributes.Attributes, LinkHandle);
        ObfDereferenceObject(Link);
    }
    return Status;
}

/* PASSIVE_LEVEL. ReturnedLength may be NULL. STATUS_BUFFER_TOO_SMALL. */
NTSTATUS ZwQuerySymbolicLinkObject(HANDLE LinkHandle, PUNICODE_STRING LinkTarget, PULONG ReturnedLength) {
    PVOID Object;
    NTSTATUS Status = ObReferenceHandleWithAccess(LinkHandle, ObpSymbolicLinkType, SYMBOLIC_LINK_QUERY, NULL, &Object);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    POBP_SYMBOLIC_LINK Link = Object;
    if (ReturnedLength != NULL) {
        *ReturnedLength = Link->Target.Length;
    }
    if (LinkTarget->MaximumLength < Link->Target.Length) {
        Status = STATUS_BUFFER_TOO_SMALL;
    } else {
        memcpy(LinkTarget->Buffer, Link->Target.Buffer, Link->Target.Length);
        LinkTarget->Length = Link->Target.Length;
    }
    ObfDereferenceObject(Link);
    return Status;
}

/* open.c: references to objects: by name, by pointer, by OBJECT_ATTRIBUTES, and an object's name. */
#include "obp.h"

#include <arch.h>

typedef struct _CAPTURE_CALL {
    POBJECT_ATTRIBUTES From;
    POB_CAPTURE To;
} CAPTURE_CALL;

static VOID CaptureGuarded(PVOID Context) {
    const CAPTURE_CALL *Call = Context;
    POBJECT_ATTRIBUTES Attributes = &Call->To->Attributes;
    *Attributes = *Call->From;
    if (Attributes->Length == sizeof(*Attributes) && Attributes->ObjectName != NULL) {
        Call->To->Name = *Attributes->ObjectName;
        Attributes->ObjectName = &Call->To->Name;
    }
}

/* See ob.h. */
NTSTATUS ObCaptureAttributes(POBJECT_ATTRIBUTES ObjectAttributes, POB_CAPTURE Capture) {
    CAPTURE_CALL Call = {ObjectAttributes, Capture};
    if (ObjectAttributes == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    NTSTATUS Status = KiCallGuarded(CaptureGuarded, &Call);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    return Capture->Attributes.Length == sizeof(OBJECT_ATTRIBUTES) ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

/* The directory object of Attributes->RootDirectory, referenced; NULL: none is given. */
static NTSTATUS ReferenceRoot(POBJECT_ATTRIBUTES ObjectAttributes, PVOID *Root) {
    *Root = NULL;
    if (ObjectAttributes->RootDirectory == NULL) {
        return STATUS_SUCCESS;
    }
    return ObReferenceHandleWithAccess(ObjectAttributes->RootDirectory, ObpDirectoryType, 0, NULL, Root);
}

static NTSTATUS OpenByName(PVOID Root, PCUNICODE_STRING Name, ULONG Attributes, POBJECT_TYPE Type, PVOID *Object) {
    OB_LOOKUP Lookup;
    *Object = NULL;
    NTSTATUS Status = ObLookupName(Root, Name, Attributes, &Lookup);
    if (NT_SUCCESS(Status) && (Lookup.Rest.Length != 0 || (Type != NULL && ObGetType(Lookup.Object) != Type))) {
        Status = STATUS_OBJECT_TYPE_MISMATCH;
    }
    if (NT_SUCCESS(Status)) {
        *Object = Lookup.Object;
        ObfReferenceObject(*Object);
    }
    ObReleaseLookup(&Lookup);
    return Status;
}

static NTSTATUS OpenCaptured(POBJECT_ATTRIBUTES ObjectAttributes, POBJECT_TYPE Type, PVOID *Object) {
    PVOID Root;
    *Object = NULL;
    NTSTATUS Status = ReferenceRoot(ObjectAttributes, &Root);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = OpenByName(Root, ObjectAttributes->ObjectName, ObjectAttributes->Attributes, Type, Object);
    if (Root != NULL) {
        ObfDereferenceObject(Root);
    }
    return Status;
}

/* See ob.h. */
NTSTATUS ObOpenByAttributes(POBJECT_ATTRIBUTES ObjectAttributes, POBJECT_TYPE Type, PVOID *Object) {
    OB_CAPTURE Own = {};
    *Object = NULL;
    NTSTATUS Status = ObCaptureAttributes(ObjectAttributes, &Own);
    return NT_SUCCESS(Status) ? OpenCaptured(&Own.Attributes, Type, Object) : Status;
}

/* See ob.h. */
NTSTATUS ObOpenNamed(POBJECT_TYPE Type, POBJECT_ATTRIBUTES ObjectAttributes, ULONG Attributes, ACCESS_MASK Access,
                     HANDLE *Handle) {
    OB_CAPTURE Own = {};
    PVOID Object;
    *Handle = NULL;
    NTSTATUS Status = ObCaptureAttributes(ObjectAttributes, &Own);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Own.Attributes.Attributes |= Attributes;
    Status = OpenCaptured(&Own.Attributes, Type, &Object);
    if (NT_SUCCESS(Status)) {
        Status = ObInsertHandleWithAccess(Object, Access, Own.Attributes.Attributes, Handle);
        ObfDereferenceObject(Object);
    }
    return Status;
}

static NTSTATUS NameNew(PVOID Object, POBJECT_ATTRIBUTES ObjectAttributes) {
    PVOID Root;
    NTSTATUS Status = ReferenceRoot(ObjectAttributes, &Root);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObInsertName(Object, Root, ObjectAttributes->ObjectName, ObjectAttributes->Attributes,
                          (ObjectAttributes->Attributes & OBJ_PERMANENT) != 0);
    if (Root != NULL) {
        ObfDereferenceObject(Root);
    }
    return Status;
}

/* The name first, then the handle. In between others may open the object by its name, and close it again: the handle to be
 * is counted already, so that theirs is not the last one, with which the name would go. */
static NTSTATUS NameAndInsert(PVOID Object, POBJECT_ATTRIBUTES ObjectAttributes, ACCESS_MASK Access, HANDLE *Handle) {
    InterlockedIncrement64(&ObpHeader(Object)->HandleCount);
    NTSTATUS Status = NameNew(Object, ObjectAttributes);
    if (NT_SUCCESS(Status)) {
        Status = ObInsertHandleWithAccess(Object, Access, ObjectAttributes->Attributes, Handle);
        if (!NT_SUCCESS(Status)) {
            ObRemoveName(Object);
        }
    }
    if (NT_SUCCESS(Status)) {
        ObpDropHandle(Object);
    } else {
        InterlockedDecrement64(&ObpHeader(Object)->HandleCount); /* there was none that could be closed */
    }
    return Status;
}

/* STATUS_OBJECT_NAME_EXISTS: the handle is one of an object that has the name already, and is of the same type. */
static NTSTATUS OpenExisting(POBJECT_ATTRIBUTES ObjectAttributes, POBJECT_TYPE Type, ACCESS_MASK Access,
                             HANDLE *Handle) {
    PVOID Existing;
    NTSTATUS Status = OpenCaptured(ObjectAttributes, Type, &Existing);
    if (NT_SUCCESS(Status)) {
        Status = ObInsertHandleWithAccess(Existing, Access, ObjectAttributes->Attributes, Handle);
        ObfDereferenceObject(Existing);
    }
    return NT_SUCCESS(Status) ? STATUS_OBJECT_NAME_EXISTS : Status;
}

static NTSTATUS InsertNew(PVOID Object, POBJECT_ATTRIBUTES Attributes, ACCESS_MASK Access, HANDLE *Handle) {
    BOOLEAN HasName = Attributes->ObjectName != NULL && Attributes->ObjectName->Length != 0;
    NTSTATUS Status = HasName ? NameAndInsert(Object, Attributes, Access, Handle)
                              : ObInsertHandleWithAccess(Object, Access, Attributes->Attributes, Handle);
    if (Status == STATUS_OBJECT_NAME_COLLISION && (Attributes->Attributes & OBJ_OPENIF)) {
        Status = OpenExisting(Attributes, ObGetType(Object), Access, Handle);
    }
    return Status;
}

/* See ob.h. */
NTSTATUS ObInsertNew(PVOID Object, POBJECT_ATTRIBUTES ObjectAttributes, ACCESS_MASK Access, HANDLE *Handle) {
    OB_CAPTURE Own = {};
    *Handle = NULL;
    NTSTATUS Status = ObjectAttributes != NULL ? ObCaptureAttributes(ObjectAttributes, &Own) : STATUS_SUCCESS;
    if (NT_SUCCESS(Status)) {
        Status = InsertNew(Object, &Own.Attributes, Access, Handle);
    }
    ObfDereferenceObject(Object);
    return Status;
}

/* <= DISPATCH_LEVEL. The object of that name, with a reference. Exported by NT, declared by no header of the DDK.
 * STATUS_OBJECT_TYPE_MISMATCH and those of ObLookupName. */
NTSTATUS ObReferenceObjectByName(PUNICODE_STRING ObjectName, ULONG Attributes, PVOID AccessState,
                                 ACCESS_MASK DesiredAccess, POBJECT_TYPE ObjectType, KPROCESSOR_MODE AccessMode,
                                 PVOID ParseContext, PVOID *Object) {
    UNREFERENCED_PARAMETER(AccessState);
    UNREFERENCED_PARAMETER(DesiredAccess); /* all callers are the kernel */
    UNREFERENCED_PARAMETER(AccessMode);
    UNREFERENCED_PARAMETER(ParseContext);
    return OpenByName(NULL, ObjectName, Attributes, ObjectType, Object);
}

/* <= DISPATCH_LEVEL. ObjectType NULL: any. STATUS_OBJECT_TYPE_MISMATCH. wdm.h: ObReferenceObjectByPointer. */
NTSTATUS ObReferenceObjectByPointer(PVOID Object, ACCESS_MASK DesiredAccess, POBJECT_TYPE ObjectType,
                                    KPROCESSOR_MODE AccessMode) {
    UNREFERENCED_PARAMETER(DesiredAccess);
    UNREFERENCED_PARAMETER(AccessMode);
    if (ObjectType != NULL && ObGetType(Object) != ObjectType) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    ObfReferenceObject(Object);
    return STATUS_SUCCESS;
}

/* PASSIVE_LEVEL. STATUS_OBJECT_TYPE_MISMATCH. ntifs.h: ObOpenObjectByPointer. */
NTSTATUS ObOpenObjectByPointer(PVOID Object, ULONG HandleAttributes, PVOID PassedAccessState, ACCESS_MASK DesiredAccess,
                               POBJECT_TYPE ObjectType, KPROCESSOR_MODE AccessMode, PHANDLE Handle) {
    UNREFERENCED_PARAMETER(PassedAccessState);
    UNREFERENCED_PARAMETER(AccessMode);
    *Handle = NULL;
    if (ObjectType != NULL && ObGetType(Object) != ObjectType) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    return ObInsertHandleWithAccess(Object, DesiredAccess, HandleAttributes, Handle);
}

/* PASSIVE_LEVEL. wdm.h: ZwMakeTemporaryObject. */
NTSTATUS ZwMakeTemporaryObject(HANDLE Handle) {
    PVOID Object;
    NTSTATUS Status = ObReferenceHandleWithAccess(Handle, NULL, 0, NULL, &Object);
    if (NT_SUCCESS(Status)) {
        ObMakeTemporaryObject(Object);
        ObfDereferenceObject(Object);
    }
    return Status;
}

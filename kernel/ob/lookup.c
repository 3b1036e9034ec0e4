/* lookup.c: from a path to an object, by component, and again from the root at a symbolic link.
 *
 *      \DosDevices\C:\Temp\x   -> link:   \??\C:\Temp\x
 *      \??\C:\Temp\x           -> link:   \GLOBAL??\C:\Temp\x
 *      \GLOBAL??\C:\Temp\x     -> link:   \Device\HarddiskVolume1\Temp\x
 *      \Device\HarddiskVolume1 -> a device: the lookup ends, and \Temp\x is for its driver
 *
 * The path is copied to nonpaged memory first, for it is compared under a spin lock. */
#include "obp.h"

#define MAXIMUM_LINKS 32

/* The next component of Rest, whose leading '\' is dropped. */
static UNICODE_STRING SplitComponent(PUNICODE_STRING Rest) {
    while (Rest->Length != 0 && Rest->Buffer[0] == '\\') {
        Rest->Buffer++;
        Rest->Length -= sizeof(WCHAR);
    }
    UNICODE_STRING Component = {0, 0, Rest->Buffer};
    while (Component.Length < Rest->Length && Component.Buffer[Component.Length / sizeof(WCHAR)] != '\\') {
        Component.Length += sizeof(WCHAR);
    }
    Component.MaximumLength = Component.Length;
    Rest->Buffer += Component.Length / sizeof(WCHAR);
    Rest->Length -= Component.Length;
    return Component;
}

/* The directory's object of that name, with a reference, or NULL. */
static PVOID ReferenceName(POBP_DIRECTORY Directory, PCUNICODE_STRING Name, ULONG Attributes) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&ObpNameLock);
    PVOID Object = ObpFindName(Directory, Name, (Attributes & OBJ_CASE_INSENSITIVE) != 0);
    if (Object != NULL) {
        ObfReferenceObject(Object);
    }
    KeReleaseSpinLock(&ObpNameLock, OldIrql);
    return Object;
}

/* First, a caller's, + Second in a new buffer, which Lookup gets in place of the old one. */
static NTSTATUS SetPath(POB_LOOKUP Lookup, PCUNICODE_STRING First, PCUNICODE_STRING Second) {
    ULONG Bytes = First->Length + (Second == NULL ? 0 : Second->Length);
    if (Bytes > 0xFFFC) {
        return STATUS_OBJECT_NAME_INVALID;
    }
    PWCH Buffer = ExAllocatePoolWithTag(NonPagedPoolNx, Bytes + sizeof(WCHAR), OBP_NAME_TAG);
    if (Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    NTSTATUS Status = KiCopyGuarded(Buffer, First->Buffer, First->Length);
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(Buffer, OBP_NAME_TAG);
        return Status;
    }
    if (Second != NULL) {
        memcpy((PUCHAR)Buffer + First->Length, Second->Buffer, Second->Length);
    }
    Buffer[Bytes / sizeof(WCHAR)] = 0;
    if (Lookup->Buffer != NULL) {
        ExFreePoolWithTag(Lookup->Buffer, OBP_NAME_TAG);
    }
    Lookup->Buffer = Buffer;
    Lookup->Rest = (UNICODE_STRING){(USHORT)Bytes, (USHORT)(Bytes + sizeof(WCHAR)), Buffer};
    return STATUS_SUCCESS;
}

/* Not there: the last component of a path may be a name to be made. Takes over the reference to Directory. */
static NTSTATUS ReportMissing(POB_LOOKUP Lookup, POBP_DIRECTORY Directory, UNICODE_STRING Component) {
    if (Lookup->Rest.Length != 0) {
        ObfDereferenceObject(Directory);
        return STATUS_OBJECT_PATH_NOT_FOUND;
    }
    Lookup->Directory = Directory;
    Lookup->Rest = Component;
    return STATUS_OBJECT_NAME_NOT_FOUND;
}

/* Walks Lookup->Rest down from Directory, whose reference it takes over, to the first object that is no directory, or
 * to the end. */
static NTSTATUS WalkDirectories(POB_LOOKUP Lookup, POBP_DIRECTORY Directory, ULONG Attributes) {
    PVOID Object = Directory;
    while (ObGetType(Object) == ObpDirectoryType && Lookup->Rest.Length != 0) {
        UNICODE_STRING Component = SplitComponent(&Lookup->Rest);
        if (Component.Length == 0) {
            break; /* "\" alone, or a '\' at the end */
        }
        PVOID Next = ReferenceName(Object, &Component, Attributes);
        if (Next == NULL) {
            return ReportMissing(Lookup, Object, Component);
        }
        ObfDereferenceObject(Object);
        Object = Next;
    }
    Lookup->Object = Object;
    return STATUS_SUCCESS;
}

static BOOLEAN IsFollowed(POB_LOOKUP Lookup, ULONG Attributes) {
    return Lookup->Object != NULL && ObGetType(Lookup->Object) == ObpSymbolicLinkType &&
           !((Attributes & OBJ_OPENLINK) && Lookup->Rest.Length == 0);
}

/* Puts the link's target in place of its name. The link's reference is dropped. */
static NTSTATUS FollowLink(POB_LOOKUP Lookup) {
    POBP_SYMBOLIC_LINK Link = Lookup->Object;
    UNICODE_STRING Rest = Lookup->Rest;
    Lookup->Object = NULL;
    NTSTATUS Status = SetPath(Lookup, &Link->Target, &Rest);
    ObfDereferenceObject(Link);
    return Status;
}

/* See ob.h. */
NTSTATUS ObLookupName(PVOID Root, PCUNICODE_STRING Name, ULONG Attributes, POB_LOOKUP Lookup) {
    *Lookup = (OB_LOOKUP){};
    if (Name == NULL) {
        return STATUS_OBJECT_PATH_SYNTAX_BAD;
    }
    if (Root != NULL && ObGetType(Root) != ObpDirectoryType) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    NTSTATUS Status = SetPath(Lookup, Name, NULL);
    BOOLEAN IsAbsolute = NT_SUCCESS(Status) && Lookup->Rest.Length >= sizeof(WCHAR) && Lookup->Rest.Buffer[0] == '\\';
    if (NT_SUCCESS(Status) && IsAbsolute != (Root == NULL)) {
        return STATUS_OBJECT_PATH_SYNTAX_BAD;
    }
    for (ULONG Links = 0; NT_SUCCESS(Status); Links++) {
        POBP_DIRECTORY Start = Root != NULL && Links == 0 ? Root : ObpRoot;
        ObfReferenceObject(Start);
        Status = WalkDirectories(Lookup, Start, Attributes);
        if (!NT_SUCCESS(Status) || !IsFollowed(Lookup, Attributes)) {
            break;
        }
        Status = Links < MAXIMUM_LINKS ? FollowLink(Lookup) : STATUS_OBJECT_NAME_INVALID;
    }
    return Status;
}

/* See ob.h; for a failed lookup too. */
VOID ObReleaseLookup(POB_LOOKUP Lookup) {
    if (Lookup->Object != NULL) {
        ObfDereferenceObject(Lookup->Object);
    }
    if (Lookup->Directory != NULL) {
        ObfDereferenceObject(Lookup->Directory);
    }
    if (Lookup->Buffer != NULL) {
        ExFreePoolWithTag(Lookup->Buffer, OBP_NAME_TAG);
    }
    *Lookup = (OB_LOOKUP){};
}

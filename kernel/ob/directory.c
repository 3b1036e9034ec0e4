/* directory.c: directory objects: named objects, and the root from which every path starts.
 *
 * Names are nonpaged and guarded by a spin lock, so that a name can be looked up at DISPATCH_LEVEL: a file call at that
 * level must die where it dies on NT, in the file system, and not here. */
#include "obp.h"
#include <ring.h>

KE_DECLARE_LOCK(ObpNameLock, RANK_OBJECT, "names of objects, contents of directories");
POBP_DIRECTORY ObpRoot;

static struct _OBJECT_TYPE DirectoryType = {
    .Name = "Directory",
    .Mapping = {STANDARD_RIGHTS_READ | DIRECTORY_QUERY | DIRECTORY_TRAVERSE,
                STANDARD_RIGHTS_WRITE | DIRECTORY_CREATE_OBJECT | DIRECTORY_CREATE_SUBDIRECTORY,
                STANDARD_RIGHTS_EXECUTE | DIRECTORY_QUERY | DIRECTORY_TRAVERSE, DIRECTORY_ALL_ACCESS},
    .ValidAccess = DIRECTORY_ALL_ACCESS,
    .WaitOffset = OB_NOT_WAITABLE};
POBJECT_TYPE ObpDirectoryType = &DirectoryType;

PVOID ObpFindName(POBP_DIRECTORY Directory, PCUNICODE_STRING Name, BOOLEAN IsCaseInsensitive) {
    for (PLIST_ENTRY Entry = Directory->Names.Flink; Entry != &Directory->Names; Entry = Entry->Flink) {
        POBP_NAME Found = CONTAINING_RECORD(Entry, OBP_NAME, ListEntry);
        if (RtlEqualUnicodeString(&Found->Name, Name, IsCaseInsensitive)) {
            return Found->Object;
        }
    }
    return NULL;
}

static POBP_DIRECTORY CreateDirectory(VOID) {
    POBP_DIRECTORY Directory = ObCreateObject(ObpDirectoryType, sizeof(*Directory));
    if (Directory != NULL) {
        InitializeListHead(&Directory->Names);
    }
    return Directory;
}

static POBP_NAME AllocateName(PCUNICODE_STRING Component) {
    POBP_NAME Name = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Name) + Component->Length, OBP_NAME_TAG);
    if (Name != NULL) {
        Name->Name.Buffer = (PWCH)(Name + 1);
        Name->Name.Length = Name->Name.MaximumLength = Component->Length;
        memcpy(Name->Name.Buffer, Component->Buffer, Component->Length);
    }
    return Name;
}

/* Enters Object under the component in which Lookup ended. */
static NTSTATUS EnterName(PVOID Object, POB_LOOKUP Lookup, ULONG Attributes, BOOLEAN IsPermanent) {
    POBP_NAME Name = AllocateName(&Lookup->Rest);
    if (Name == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    POBP_DIRECTORY Directory = Lookup->Directory;
    Name->Directory = Directory;
    Name->Object = Object;
    Name->IsPermanent = IsPermanent;
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&ObpNameLock);
    BOOLEAN IsFree = ObpFindName(Directory, &Name->Name, (Attributes & OBJ_CASE_INSENSITIVE) != 0) == NULL;
    if (IsFree) {
        InsertTailList(&Directory->Names, &Name->ListEntry);
        ObpHeader(Object)->Name = Name;
        ObfReferenceObject(Object);
        ObfReferenceObject(Directory);
    }
    KeReleaseSpinLock(&ObpNameLock, OldIrql);
    if (!IsFree) {
        ExFreePoolWithTag(Name, OBP_NAME_TAG);
        return STATUS_OBJECT_NAME_COLLISION;
    }
    return STATUS_SUCCESS;
}

/* See ob.h. */
NTSTATUS ObInsertName(PVOID Object, PVOID Root, PCUNICODE_STRING Name, ULONG Attributes, BOOLEAN IsPermanent) {
    OB_LOOKUP Lookup;
    NTSTATUS Status = ObLookupName(Root, Name, Attributes | OBJ_OPENLINK, &Lookup);
    if (NT_SUCCESS(Status)) {
        Status = STATUS_OBJECT_NAME_COLLISION;
    } else if (Lookup.Directory != NULL) {
        Status = EnterName(Object, &Lookup, Attributes, IsPermanent);
    }
    ObReleaseLookup(&Lookup);
    return Status;
}

/* Takes the name off; IsUnused: only a temporary one, of an object that has still no handle. The references that the name
 * held are dropped without the lock: one of them may be the last. */
static VOID RemoveName(PVOID Object, BOOLEAN IsUnused) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&ObpNameLock);
    POBP_NAME Name = ObpHeader(Object)->Name;
    if (Name != NULL && IsUnused && (Name->IsPermanent || ObpHeader(Object)->HandleCount != 0)) {
        Name = NULL; /* it has been opened since its last handle was closed */
    }
    if (Name != NULL) {
        RemoveEntryList(&Name->ListEntry);
        ObpHeader(Object)->Name = NULL;
    }
    KeReleaseSpinLock(&ObpNameLock, OldIrql);
    if (Name != NULL) {
        ObfDereferenceObject(Name->Directory);
        ObfDereferenceObject(Object);
        ExFreePoolWithTag(Name, OBP_NAME_TAG);
    }
}

/* See ob.h; the caller has a reference of its own. */
VOID ObRemoveName(PVOID Object) {
    RemoveName(Object, FALSE);
}

VOID ObpRemoveTemporaryName(PVOID Object) {
    RemoveName(Object, TRUE);
}

/* The name goes with the last handle, or now if there is none. <= DISPATCH_LEVEL. ntifs.h: ObMakeTemporaryObject. */
VOID ObMakeTemporaryObject(PVOID Object) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&ObpNameLock);
    if (ObpHeader(Object)->Name != NULL) {
        ObpHeader(Object)->Name->IsPermanent = FALSE;
    }
    KeReleaseSpinLock(&ObpNameLock, OldIrql);
    RemoveName(Object, TRUE);
}

/* PASSIVE_LEVEL. wdm.h: ZwCreateDirectoryObject. */
NTSTATUS ZwCreateDirectoryObject(PHANDLE DirectoryHandle, ACCESS_MASK DesiredAccess,
                                 POBJECT_ATTRIBUTES ObjectAttributes) {
    POBP_DIRECTORY Directory = CreateDirectory();
    if (Directory == NULL) {
        *DirectoryHandle = NULL;
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    return ObInsertNew(Directory, ObjectAttributes, DesiredAccess, DirectoryHandle);
}

/* PASSIVE_LEVEL. */
NTSTATUS ZwOpenDirectoryObject(PHANDLE DirectoryHandle, ACCESS_MASK DesiredAccess,
                               POBJECT_ATTRIBUTES ObjectAttributes) {
    return ObOpenNamed(ObpDirectoryType, ObjectAttributes, 0, DesiredAccess, DirectoryHandle);
}

/* ---- The names that are there from the start ---- */

static VOID Require(NTSTATUS Status) {
    if (!NT_SUCCESS(Status)) {
        KeBugCheckEx(PHASE1_INITIALIZATION_FAILED, (ULONG_PTR)(LONG_PTR)Status, 0, 0, 0);
    }
}

static VOID MakeDirectory(PCWSTR Path) {
    UNICODE_STRING Name;
    POBP_DIRECTORY Directory = CreateDirectory();
    Require(Directory == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS);
    RtlInitUnicodeString(&Name, Path);
    Require(ObInsertName(Directory, NULL, &Name, OBJ_CASE_INSENSITIVE, TRUE));
    ObfDereferenceObject(Directory);
}

static VOID MakeLink(PCWSTR Path, PCWSTR Target) {
    UNICODE_STRING Name, Text;
    RtlInitUnicodeString(&Name, Path);
    RtlInitUnicodeString(&Text, Target);
    Require(IoCreateSymbolicLink(&Name, &Text));
}

/* Before the first driver. Each session has a \?? of its own on NT, which falls back on \GLOBAL??; there are no sessions here. */
static VOID MakeDirectories(VOID) {
    ObpRoot = CreateDirectory();
    Require(ObpRoot == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS);
    static const PCWSTR Directories[] = {L"\\Device",           L"\\GLOBAL??",      L"\\Driver",
                                         L"\\FileSystem",       L"\\Callback",      L"\\ObjectTypes",
                                         L"\\BaseNamedObjects", L"\\KernelObjects", L"\\Security"};
    for (ULONG i = 0; i < RTL_NUMBER_OF(Directories); i++) {
        MakeDirectory(Directories[i]);
    }
    MakeLink(L"\\??", L"\\GLOBAL??");
    MakeLink(L"\\DosDevices", L"\\??");
    MakeLink(L"\\GLOBAL??\\Global", L"\\GLOBAL??");
    MakeLink(L"\\GLOBAL??\\GLOBALROOT", L"");
}
KE_STARTUP_STEP(StartBeforeDisks, MakeDirectories);

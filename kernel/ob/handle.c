/* handle.c: the handle table: a handle is a small number for a reference and its access rights.
 *
 * The table grows by chunks of one page, which never move and are never freed. A handle is 4 * (index + 1), so that 0
 * is none and the two low bits are free, as on Windows; one that was asked for with OBJ_KERNEL_HANDLE has the upper
 * half of the number line as well, and both forms mean the same, for there is one process. An entry holds the object's
 * address or, when free, the next free index:
 *
 *      Object, bit 0 = 0    address of the object (16-byte aligned); Granted: its rights
 *      Object, bit 0 = 1    free; bits 1 and up: index of the next free entry + 1, 0 for none
 */
#include "obp.h"

#define MAXIMUM_CHUNKS 256
#define CURRENT_THREAD_HANDLE ((HANDLE)(LONG_PTR)(-2))
#define CURRENT_PROCESS_HANDLE ((HANDLE)(LONG_PTR)(-1))
#define KERNEL_HANDLE_BIT 0xFFFFFFFF80000000ULL

typedef struct _HANDLE_ENTRY {
    ULONG_PTR Object;
    ACCESS_MASK Granted;
    ULONG Attributes;
} HANDLE_ENTRY, *PHANDLE_ENTRY;

#define ENTRIES_PER_CHUNK (PAGE_SIZE / sizeof(HANDLE_ENTRY))

KE_DECLARE_LOCK(ObpHandleLock, RANK_OBJECT, "the handle table");

/* All guarded by ObpHandleLock. */
static PHANDLE_ENTRY Chunks[MAXIMUM_CHUNKS];
static ULONG ChunkCount;
static ULONG FirstFree; /* index + 1 */

static PHANDLE_ENTRY EntryAt(ULONG Index) {
    return &Chunks[Index / ENTRIES_PER_CHUNK][Index % ENTRIES_PER_CHUNK];
}

static HANDLE HandleOf(ULONG Index, ULONG Attributes) {
    ULONG_PTR Number = 4 * ((ULONG_PTR)Index + 1);
    return (HANDLE)(Attributes & OBJ_KERNEL_HANDLE ? Number | KERNEL_HANDLE_BIT : Number);
}

/* The index that a handle names, or one that no entry has. */
static ULONG_PTR IndexOf(HANDLE Handle) {
    ULONG_PTR Number = (ULONG_PTR)Handle;
    if ((Number & KERNEL_HANDLE_BIT) == KERNEL_HANDLE_BIT) {
        Number &= ~KERNEL_HANDLE_BIT;
    }
    return Number / 4 - 1;
}

static VOID FreeEntry(ULONG Index) {
    EntryAt(Index)->Object = (ULONG_PTR)FirstFree << 1 | 1;
    FirstFree = Index + 1;
}

/* The table's entry of a handle that is in use, or NULL. Lock held. */
static PHANDLE_ENTRY FindEntry(HANDLE Handle) {
    ULONG_PTR Index = IndexOf(Handle);
    if (Index >= (ULONG_PTR)ChunkCount * ENTRIES_PER_CHUNK) {
        return NULL;
    }
    PHANDLE_ENTRY Entry = EntryAt((ULONG)Index);
    return Entry->Object & 1 ? NULL : Entry;
}

/* Adds a chunk that the caller has allocated. Lock held. FALSE: the table has its full size. */
static BOOLEAN AddChunk(PHANDLE_ENTRY Chunk) {
    if (ChunkCount == MAXIMUM_CHUNKS) {
        return FALSE;
    }
    Chunks[ChunkCount++] = Chunk;
    for (ULONG Index = ChunkCount * ENTRIES_PER_CHUNK; Index > (ChunkCount - 1) * ENTRIES_PER_CHUNK; Index--) {
        FreeEntry(Index - 1);
    }
    return TRUE;
}

/* Makes sure that there is a free entry at this instant. The pool's locks come before this one in the lock order, so
 * the chunk is allocated first. */
static NTSTATUS GrowTable(VOID) {
    PHANDLE_ENTRY Chunk = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, OBP_TAG);
    if (Chunk == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KIRQL OldIrql;
    KeAcquireSpinLock(&ObpHandleLock, &OldIrql);
    BOOLEAN IsAdded = AddChunk(Chunk);
    KeReleaseSpinLock(&ObpHandleLock, OldIrql);
    if (!IsAdded) {
        ExFreePoolWithTag(Chunk, OBP_TAG);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    return STATUS_SUCCESS;
}

/* Gives out a free entry. FALSE: there is none. */
static BOOLEAN TakeEntry(PVOID Object, ACCESS_MASK Access, ULONG Attributes, HANDLE *Handle) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&ObpHandleLock, &OldIrql);
    BOOLEAN IsFree = FirstFree != 0;
    if (IsFree) {
        ULONG Index = FirstFree - 1;
        PHANDLE_ENTRY Entry = EntryAt(Index);
        FirstFree = (ULONG)(Entry->Object >> 1);
        *Entry = (HANDLE_ENTRY){(ULONG_PTR)Object, Access, Attributes};
        *Handle = HandleOf(Index, Attributes);
    }
    KeReleaseSpinLock(&ObpHandleLock, OldIrql);
    return IsFree;
}

/* See obp.h. */
NTSTATUS ObpInsertHandle(PVOID Object, ACCESS_MASK Access, ULONG Attributes, OB_OPERATION Operation, HANDLE *Handle) {
    NTSTATUS Status = STATUS_SUCCESS;
    OBP_HANDLE_CALLBACKS Callbacks;
    Callbacks.Operation = Operation;
    BOOLEAN IsKernelHandle = (Attributes & OBJ_KERNEL_HANDLE) != 0;
    Access = ObMapAccess(ObGetType(Object), Access);
    ObpAskHandleCallbacks(&Callbacks, Object, IsKernelHandle, &Access);
    ObfReferenceObject(Object);
    InterlockedIncrement64(&ObpHeader(Object)->HandleCount);
    while (NT_SUCCESS(Status) && !TakeEntry(Object, Access, Attributes, Handle)) {
        Status = GrowTable();
    }
    if (!NT_SUCCESS(Status)) {
        InterlockedDecrement64(&ObpHeader(Object)->HandleCount);
    }
    ObpTellHandleCallbacks(&Callbacks, Object, IsKernelHandle, Access, Status);
    if (!NT_SUCCESS(Status)) {
        ObfDereferenceObject(Object);
    }
    return Status;
}

/* See ob.h. */
NTSTATUS ObInsertHandleWithAccess(PVOID Object, ACCESS_MASK Access, ULONG Attributes, HANDLE *Handle) {
    return ObpInsertHandle(Object, Access, Attributes, OB_OPERATION_HANDLE_CREATE, Handle);
}

NTSTATUS ObInsertHandle(PVOID Object, HANDLE *Handle) {
    return ObInsertHandleWithAccess(Object, GENERIC_ALL, 0, Handle);
}

/* Finds the object and takes a reference before anyone can close the handle. NULL: no such handle. */
static PVOID ReferenceHandle(HANDLE Handle, ACCESS_MASK *Granted, ULONG *Attributes) {
    PVOID Object = NULL;
    KIRQL OldIrql;
    *Granted = THREAD_ALL_ACCESS;
    *Attributes = 0;
    if (Handle == CURRENT_THREAD_HANDLE || Handle == CURRENT_PROCESS_HANDLE) {
        Object = Handle == CURRENT_THREAD_HANDLE ? (PVOID)KiCurrentThread() : IoGetCurrentProcess();
        ObfReferenceObject(Object);
        return Object;
    }
    KeAcquireSpinLock(&ObpHandleLock, &OldIrql);
    PHANDLE_ENTRY Entry = FindEntry(Handle);
    if (Entry != NULL) {
        Object = (PVOID)Entry->Object;
        *Granted = Entry->Granted;
        *Attributes = Entry->Attributes;
        ObfReferenceObject(Object);
    }
    KeReleaseSpinLock(&ObpHandleLock, OldIrql);
    return Object;
}

static NTSTATUS ReferenceTyped(HANDLE Handle, POBJECT_TYPE Type, ACCESS_MASK *Granted, ULONG *Attributes,
                               PVOID *Object) {
    *Object = NULL;
    PVOID Found = ReferenceHandle(Handle, Granted, Attributes);
    if (Found == NULL) {
        return STATUS_INVALID_HANDLE;
    }
    if (Type != NULL && ObGetType(Found) != Type) {
        ObfDereferenceObject(Found);
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    *Object = Found;
    return STATUS_SUCCESS;
}

/* See ob.h. */
NTSTATUS ObReferenceHandleWithAccess(HANDLE Handle, POBJECT_TYPE Type, ACCESS_MASK AnyOf, ACCESS_MASK *Granted,
                                     PVOID *Object) {
    ACCESS_MASK Access;
    ULONG Attributes;
    NTSTATUS Status = ReferenceTyped(Handle, Type, &Access, &Attributes, Object);
    if (NT_SUCCESS(Status) && AnyOf != 0 && (Access & AnyOf) == 0) {
        ObfDereferenceObject(*Object);
        *Object = NULL;
        return STATUS_ACCESS_DENIED;
    }
    if (Granted != NULL) {
        *Granted = Access;
    }
    return Status;
}

/* <= DISPATCH_LEVEL. ObjectType NULL: any. The rights are checked for AccessMode UserMode only, as on Windows: the
 * kernel may do everything. HandleInformation (OBJECT_HANDLE_INFORMATION) may be NULL. The caller drops the reference
 * with ObDereferenceObject. STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH, STATUS_ACCESS_DENIED.
 * wdm.h: ObReferenceObjectByHandle. */
NTSTATUS ObReferenceObjectByHandle(HANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_TYPE ObjectType,
                                   KPROCESSOR_MODE AccessMode, PVOID *Object, PVOID HandleInformation) {
    POBJECT_HANDLE_INFORMATION Information = HandleInformation;
    ACCESS_MASK Granted;
    ULONG Attributes;
    NTSTATUS Status = ReferenceTyped(Handle, ObjectType, &Granted, &Attributes, Object);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (AccessMode != KernelMode && (ObMapAccess(ObGetType(*Object), DesiredAccess) & ~Granted) != 0) {
        ObfDereferenceObject(*Object);
        *Object = NULL;
        return STATUS_ACCESS_DENIED;
    }
    if (Information != NULL) {
        Information->HandleAttributes = Attributes & OBJ_INHERIT;
        Information->GrantedAccess = Granted;
    }
    return STATUS_SUCCESS;
}

/* The object that the handle stood for, whose reference is the caller's now. NULL: no such handle. */
static PVOID TakeBack(HANDLE Handle) {
    PVOID Object = NULL;
    KIRQL OldIrql;
    KeAcquireSpinLock(&ObpHandleLock, &OldIrql);
    PHANDLE_ENTRY Entry = FindEntry(Handle);
    if (Entry != NULL) {
        Object = (PVOID)Entry->Object;
        FreeEntry((ULONG)IndexOf(Handle));
    }
    KeReleaseSpinLock(&ObpHandleLock, OldIrql);
    return Object;
}

/* See obp.h. */
NTSTATUS ObpDropHandle(PVOID Object) {
    POBJECT_HEADER Header = ObpHeader(Object);
    NTSTATUS Status = STATUS_SUCCESS;
    if (InterlockedDecrement64(&Header->HandleCount) == 0) {
        if (Header->Type->Close != NULL) {
            Status = Header->Type->Close(Object);
        }
        if (ReadPointerNoFence(&Header->Name) != NULL) { /* a hint: asked again under the lock */
            ObpRemoveTemporaryName(Object);
        }
    }
    return Status;
}

/* PASSIVE_LEVEL by its documentation. As ZwClose; with UserMode only a handle that is not the kernel's.
 * STATUS_INVALID_HANDLE. ntifs.h: ObCloseHandle. */
NTSTATUS ObCloseHandle(HANDLE Handle, KPROCESSOR_MODE PreviousMode) {
    BOOLEAN IsKernels = ((ULONG_PTR)Handle & KERNEL_HANDLE_BIT) == KERNEL_HANDLE_BIT;
    return PreviousMode != KernelMode && IsKernels ? STATUS_INVALID_HANDLE : ZwClose(Handle);
}

/* PASSIVE_LEVEL by its documentation: the last handle of a file means a CLEANUP, and the object may be deleted. Above
 * DISPATCH_LEVEL never. STATUS_INVALID_HANDLE; an error of the file system: the handle is closed, and its writes are
 * not all on the disk. wdm.h: ZwClose. */
NTSTATUS ZwClose(HANDLE Handle) {
    PVOID Object = TakeBack(Handle);
    if (Object == NULL) {
        return STATUS_INVALID_HANDLE;
    }
    NTSTATUS Status = ObpDropHandle(Object);
    ObfDereferenceObject(Object);
    return NT_ERROR(Status) ? Status : STATUS_SUCCESS;
}

/* See ob.h. */
ACCESS_MASK ObMapAccess(POBJECT_TYPE Type, ACCESS_MASK Desired) {
    const GENERIC_MAPPING *Mapping = &Type->Mapping;
    ACCESS_MASK Everything = Mapping->GenericAll != 0 ? Mapping->GenericAll : STANDARD_RIGHTS_ALL | SPECIFIC_RIGHTS_ALL;
    ACCESS_MASK Access = Desired & ~(GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE | GENERIC_ALL | MAXIMUM_ALLOWED);
    Access |= Desired & (GENERIC_ALL | MAXIMUM_ALLOWED) ? Everything : 0;
    Access |= Desired & GENERIC_READ ? Mapping->GenericRead : 0;
    Access |= Desired & GENERIC_WRITE ? Mapping->GenericWrite : 0;
    Access |= Desired & GENERIC_EXECUTE ? Mapping->GenericExecute : 0;
    return Access;
}

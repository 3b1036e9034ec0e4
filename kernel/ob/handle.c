/* handle.c: the one handle table: a handle is a small number that stands for a reference to an object.
 *
 * The table grows by chunks of one page, which never move and are never freed. A handle is 4 * (index + 1), so that 0
 * is none and the two low bits are free, as on Windows. An entry holds the object's address or, when free, the next
 * free index:
 *
 *      entry, bit 0 = 0    address of the object (16-byte aligned)
 *      entry, bit 0 = 1    free; bits 1 and up: index of the next free entry + 1, 0 for none
 */
#include "obp.h"

#define ENTRIES_PER_CHUNK (PAGE_SIZE / sizeof(ULONG_PTR))
#define MAXIMUM_CHUNKS 128
#define CURRENT_THREAD_HANDLE ((HANDLE)(LONG_PTR)-2)

KE_DECLARE_LOCK(ObpHandleLock, RANK_OBJECT, "the handle table");

/* All guarded by ObpHandleLock. */
static ULONG_PTR *Chunks[MAXIMUM_CHUNKS];
static ULONG ChunkCount;
static ULONG FirstFree; /* index + 1 */

static ULONG_PTR *EntryAt(ULONG Index) {
    return &Chunks[Index / ENTRIES_PER_CHUNK][Index % ENTRIES_PER_CHUNK];
}

static HANDLE HandleOf(ULONG Index) {
    return ULongToHandle(4 * (Index + 1));
}

static VOID FreeEntry(ULONG Index) {
    *EntryAt(Index) = (ULONG_PTR)FirstFree << 1 | 1;
    FirstFree = Index + 1;
}

/* The table's entry of a handle that is in use, or NULL. Lock held. */
static ULONG_PTR *FindEntry(HANDLE Handle) {
    ULONG_PTR Number = (ULONG_PTR)Handle / 4;
    if (Number == 0 || Number > (ULONG_PTR)ChunkCount * ENTRIES_PER_CHUNK) {
        return NULL;
    }
    ULONG_PTR *Entry = EntryAt((ULONG)Number - 1);
    return *Entry & 1 ? NULL : Entry;
}

/* Adds a chunk that the caller has allocated. Lock held. FALSE: the table has its full size. */
static BOOLEAN AddChunk(ULONG_PTR *Chunk) {
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
    ULONG_PTR *Chunk = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, OBP_TAG);
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
static BOOLEAN TakeEntry(PVOID Object, HANDLE *Handle) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&ObpHandleLock, &OldIrql);
    BOOLEAN IsFree = FirstFree != 0;
    if (IsFree) {
        ULONG Index = FirstFree - 1;
        ULONG_PTR *Entry = EntryAt(Index);
        FirstFree = (ULONG)(*Entry >> 1);
        *Entry = (ULONG_PTR)Object;
        *Handle = HandleOf(Index);
    }
    KeReleaseSpinLock(&ObpHandleLock, OldIrql);
    return IsFree;
}

NTSTATUS ObInsertHandle(PVOID Object, HANDLE *Handle) {
    NTSTATUS Status = STATUS_SUCCESS;
    ObfReferenceObject(Object);
    InterlockedIncrement64(&ObpHeader(Object)->HandleCount);
    while (NT_SUCCESS(Status) && !TakeEntry(Object, Handle)) {
        Status = GrowTable();
    }
    if (!NT_SUCCESS(Status)) {
        InterlockedDecrement64(&ObpHeader(Object)->HandleCount);
        ObfDereferenceObject(Object);
    }
    return Status;
}

/* Finds the object and takes a reference before anyone can close the handle. NULL: no such handle. */
static PVOID ReferenceHandle(HANDLE Handle) {
    PVOID Object = NULL;
    KIRQL OldIrql;
    if (Handle == CURRENT_THREAD_HANDLE) {
        Object = KiCurrentThread();
        ObfReferenceObject(Object);
        return Object;
    }
    KeAcquireSpinLock(&ObpHandleLock, &OldIrql);
    ULONG_PTR *Entry = FindEntry(Handle);
    if (Entry != NULL) {
        Object = (PVOID)*Entry;
        ObfReferenceObject(Object);
    }
    KeReleaseSpinLock(&ObpHandleLock, OldIrql);
    return Object;
}

/* <= DISPATCH_LEVEL. ObjectType NULL: any. The caller drops the reference with ObDereferenceObject.
 * STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH. wdm.h: ObReferenceObjectByHandle. */
NTSTATUS ObReferenceObjectByHandle(HANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_TYPE ObjectType,
                                   KPROCESSOR_MODE AccessMode, PVOID *Object, PVOID HandleInformation) {
    UNREFERENCED_PARAMETER(DesiredAccess); /* all callers are the kernel */
    UNREFERENCED_PARAMETER(AccessMode);
    UNREFERENCED_PARAMETER(HandleInformation);
    *Object = NULL;
    PVOID Found = ReferenceHandle(Handle);
    if (Found == NULL) {
        return STATUS_INVALID_HANDLE;
    }
    if (ObjectType != NULL && ObGetType(Found) != ObjectType) {
        ObfDereferenceObject(Found);
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    *Object = Found;
    return STATUS_SUCCESS;
}

/* PASSIVE_LEVEL: the object may be deleted. STATUS_INVALID_HANDLE. wdm.h: ZwClose. */
NTSTATUS ZwClose(HANDLE Handle) {
    PVOID Object = NULL;
    KIRQL OldIrql;
    KeAcquireSpinLock(&ObpHandleLock, &OldIrql);
    ULONG_PTR *Entry = FindEntry(Handle);
    if (Entry != NULL) {
        Object = (PVOID)*Entry;
        FreeEntry((ULONG)((ULONG_PTR)Handle / 4) - 1);
    }
    KeReleaseSpinLock(&ObpHandleLock, OldIrql);
    if (Object == NULL) {
        return STATUS_INVALID_HANDLE;
    }
    POBJECT_HEADER Header = ObpHeader(Object);
    if (InterlockedDecrement64(&Header->HandleCount) == 0 && Header->Type->Close != NULL) {
        Header->Type->Close(Object);
    }
    ObfDereferenceObject(Object);
    return STATUS_SUCCESS;
}

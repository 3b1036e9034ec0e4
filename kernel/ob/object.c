/* object.c: an object's life: it lasts while it is referenced, and the last dereference deletes it.
 *
 *      OBJECT_HEADER   PointerCount, HandleCount, Type
 *      the object      <-- what everyone outside ob/ has a pointer to
 *
 * A reference may be dropped at DISPATCH_LEVEL, but deleting may wait. So above PASSIVE_LEVEL the dead object goes to
 * a list that a worker thread empties. */
#include "obp.h"

/* Dead objects that wait for the worker: pushed by anyone, taken all at once. */
static POBJECT_HEADER volatile DeletionList;
static WORK_QUEUE_ITEM DeletionItem;

PVOID ObCreateObject(POBJECT_TYPE Type, SIZE_T Bytes) {
    POBJECT_HEADER Header = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(OBJECT_HEADER) + Bytes, OBP_TAG);
    if (Header == NULL) {
        return NULL;
    }
    memset(Header, 0, sizeof(OBJECT_HEADER) + Bytes);
    Header->PointerCount = 1;
    Header->Type = Type;
    return ObpBody(Header);
}

/* Any IRQL. */
POBJECT_TYPE ObGetType(PVOID Object) {
    return ObpHeader(Object)->Type;
}

static VOID DeleteObject(POBJECT_HEADER Header) {
    if (Header->Type->Delete != NULL) {
        Header->Type->Delete(ObpBody(Header));
    }
    ExFreePoolWithTag(Header, OBP_TAG);
}

/* Worker routine, PASSIVE_LEVEL. */
static VOID DeleteListedObjects(PVOID Parameter) {
    UNREFERENCED_PARAMETER(Parameter);
    POBJECT_HEADER Header = __atomic_exchange_n(&DeletionList, NULL, __ATOMIC_ACQUIRE);
    while (Header != NULL) {
        POBJECT_HEADER Next = Header->NextToDelete;
        DeleteObject(Header);
        Header = Next;
    }
}

/* The thread that makes the list non-empty queues the work item: the worker empties the list after the item has
 * left its queue, so the item is never queued twice. */
static VOID DeleteLater(POBJECT_HEADER Header) {
    POBJECT_HEADER First = __atomic_load_n(&DeletionList, __ATOMIC_RELAXED);
    do {
        Header->NextToDelete = First;
    } while (!__atomic_compare_exchange_n(&DeletionList, &First, Header, FALSE, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
    if (First == NULL) {
        ExInitializeWorkItem(&DeletionItem, DeleteListedObjects, NULL);
        ExQueueWorkItem(&DeletionItem, CriticalWorkQueue);
    }
}

/* Any IRQL, for an object that cannot go away meanwhile. Returns the new count. wdm.h: ObReferenceObject. */
LONG_PTR ObfReferenceObject(PVOID Object) {
    POBJECT_HEADER Header = ObpHeader(Object);
    LONG_PTR Count = __atomic_add_fetch(&Header->PointerCount, 1, __ATOMIC_RELAXED);
    if (Count <= 1) {
        KeBugCheckEx(REFERENCE_BY_POINTER, (ULONG_PTR)Header->Type, (ULONG_PTR)Object, 0, (ULONG_PTR)Count);
    }
    return Count;
}

/* <= DISPATCH_LEVEL. Returns the new count; at 0 the object is gone, or will be soon. Below 0, or 0 with handles: 0x18.
 * wdm.h: ObDereferenceObject. */
LONG_PTR ObfDereferenceObject(PVOID Object) {
    POBJECT_HEADER Header = ObpHeader(Object);
    LONG_PTR Count = __atomic_sub_fetch(&Header->PointerCount, 1, __ATOMIC_ACQ_REL);
    if (Count < 0 || (Count == 0 && Header->HandleCount != 0)) { /* a handle, at least, has a reference still */
        KeBugCheckEx(REFERENCE_BY_POINTER, (ULONG_PTR)Header->Type, (ULONG_PTR)Object, 0, (ULONG_PTR)Count);
    }
    if (Count == 0 && KiCurrentIrql() == PASSIVE_LEVEL) {
        DeleteObject(Header);
    } else if (Count == 0) {
        DeleteLater(Header);
    }
    return Count;
}

/* The same, but a dead object is always left to a worker: for callers that hold locks which its deletion takes.
 * <= DISPATCH_LEVEL. wdm.h: ObDereferenceObjectDeferDelete. */
VOID ObDereferenceObjectDeferDelete(PVOID Object) {
    POBJECT_HEADER Header = ObpHeader(Object);
    LONG_PTR Count = __atomic_sub_fetch(&Header->PointerCount, 1, __ATOMIC_ACQ_REL);
    if (Count < 0 || (Count == 0 && Header->HandleCount != 0)) {
        KeBugCheckEx(REFERENCE_BY_POINTER, (ULONG_PTR)Header->Type, (ULONG_PTR)Object, 0, (ULONG_PTR)Count);
    }
    if (Count == 0) {
        DeleteLater(Header);
    }
}

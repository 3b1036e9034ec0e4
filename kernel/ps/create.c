/* create.c: system threads as objects: a KTHREAD with a name, an id, a stack, and references.
 *
 * A thread object has one reference of its own as long as it runs (the reaper drops it), one for each handle, and
 * those that callers take. So a handle, or a pointer with a reference, can be waited on after the thread has ended. */
#include "psp.h"
#include <kd.h>
#include <mm.h>
#include <rtl.h>

static VOID DeleteThread(PVOID Object);

/* See psp.h. */
VOID PspTellOfThread(PETHREAD Thread, KE_THREAD_EVENT Event) {
    for (KE_THREAD_ROUTINE *const *Watch = KiThreadWatches; Watch < KiThreadWatchesEnd; Watch++) {
        (*Watch)(Thread, Event);
    }
}

OBJECT_TYPE PspThreadObjectType = {.Name = "Thread", .Delete = DeleteThread, .ValidAccess = THREAD_ALL_ACCESS};
static POBJECT_TYPE ThreadTypePointer = &PspThreadObjectType;
POBJECT_TYPE *PsThreadType = &ThreadTypePointer;

/* The last reference is gone: the reaper has freed the stack, or there never was one. A thread that still has its
 * stack holds a reference to itself, so some code has dropped one that was not its own. */
static VOID DeleteThread(PVOID Object) {
    PETHREAD Thread = Object;
    if (Thread->Tcb.StackBase != 0) {
        KeBugCheckEx(REFERENCE_BY_POINTER, (ULONG_PTR)&PspThreadObjectType, (ULONG_PTR)Object, 0, 0);
    }
    PspTellOfThread(Thread, ThreadDeleted);
}

static HANDLE NextThreadId(VOID) {
    static volatile LONG Count;
    return ULongToHandle(PSP_SYSTEM_PROCESS_ID + 4 * (ULONG)InterlockedIncrement(&Count));
}

/* The start routine's name if the thread has no better one. */
static VOID NameThread(PETHREAD Thread, PCSTR Name, PKSTART_ROUTINE Start) {
    KD_SYMBOL Symbol;
    if (Name == NULL && KdLookupAddress((ULONG64)Start, &Symbol) && Symbol.Function != NULL) {
        Name = Symbol.Function;
    }
    if (Name != NULL) {
        RtlFormat(Thread->Tcb.Name, sizeof(Thread->Tcb.Name), "%s", Name);
    } else {
        RtlFormat(Thread->Tcb.Name, sizeof(Thread->Tcb.Name), "thread %u", HandleToULong(Thread->Cid.UniqueThread));
    }
}

/* See psp.h. */
NTSTATUS PspCreateThread(PETHREAD *Created, PCSTR Name, KPRIORITY Priority, PKSTART_ROUTINE Start, PVOID Context) {
    PETHREAD Thread = ObCreateObject(&PspThreadObjectType, sizeof(ETHREAD));
    if (Thread == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    ULONG64 StackBase = MmCreateKernelStack(KERNEL_STACK_SIZE);
    if (StackBase == 0) {
        ObfDereferenceObject(Thread);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Thread->Cid.UniqueProcess = ULongToHandle(PSP_SYSTEM_PROCESS_ID);
    Thread->Cid.UniqueThread = NextThreadId();
    Thread->ExitStatus = STATUS_PENDING;
    NameThread(Thread, Name, Start);
    KeInitializeThread(&Thread->Tcb, StackBase, StackBase - KERNEL_STACK_SIZE, Start, Context, Priority);
    PspTellOfThread(Thread, ThreadInitialized);
    ObfReferenceObject(Thread);
    *Created = Thread;
    return STATUS_SUCCESS;
}

VOID PspStartThread(PETHREAD Thread) {
    PspTellOfThread(Thread, ThreadCreated);
    KeReadyThread(&Thread->Tcb);
}

NTSTATUS PsCreateNamedThread(PETHREAD *Thread, PCSTR Name, KPRIORITY Priority, PKSTART_ROUTINE Start, PVOID Context) {
    PETHREAD Unwanted = NULL, *Created = Thread != NULL ? Thread : &Unwanted;
    NTSTATUS Status = PspCreateThread(Created, Name, Priority, Start, Context);
    if (NT_SUCCESS(Status)) {
        PspStartThread(*Created);
    }
    if (NT_SUCCESS(Status) && Thread == NULL) {
        ObfDereferenceObject(Unwanted);
    }
    return Status;
}

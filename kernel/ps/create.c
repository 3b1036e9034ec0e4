/* create.c: system threads as objects: a KTHREAD with a name, an id, a stack, and references.
 *
 * A thread object has one reference of its own as long as it runs (the reaper drops it), one for each handle, and
 * those that callers take. So a handle, or a pointer with a reference, can be waited on after the thread has ended. */
#include "psp.h"
#include <kd.h>
#include <mm.h>
#include <rtl.h>

static VOID DeleteThread(PVOID Object);

OBJECT_TYPE PspThreadObjectType = {.Name = "Thread", .Delete = DeleteThread, .ValidAccess = THREAD_ALL_ACCESS};
static POBJECT_TYPE ThreadTypePointer = &PspThreadObjectType;
POBJECT_TYPE *PsThreadType = &ThreadTypePointer;

/* The last reference is gone: the reaper has freed the stack, or there never was one. A thread that still has its
 * stack holds a reference to itself, so somebody has dropped one that was not theirs. */
static VOID DeleteThread(PVOID Object) {
    PETHREAD Thread = Object;
    if (Thread->Tcb.StackBase != 0) {
        KeBugCheckEx(REFERENCE_BY_POINTER, (ULONG_PTR)&PspThreadObjectType, (ULONG_PTR)Object, 0, 0);
    }
    KeCleanupThreadState(Thread);
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

/* A thread with a stack, laid out but not started, with two references: its own and the caller's. <= DISPATCH_LEVEL. */
static NTSTATUS CreateThread(PETHREAD *Created, PCSTR Name, KPRIORITY Priority, PKSTART_ROUTINE Start, PVOID Context) {
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
    Thread->Tcb.Process = PsInitialSystemProcess;
    InitializeListHead(&Thread->IrpList);
    NameThread(Thread, Name, Start);
    KeInitializeThread(&Thread->Tcb, StackBase, StackBase - KERNEL_STACK_SIZE, Start, Context, Priority);
    KeInitializeThreadLocks(&Thread->Tcb);
    ObfReferenceObject(Thread);
    *Created = Thread;
    return STATUS_SUCCESS;
}

NTSTATUS PsCreateNamedThread(PETHREAD *Thread, PCSTR Name, KPRIORITY Priority, PKSTART_ROUTINE Start, PVOID Context) {
    NTSTATUS Status = CreateThread(Thread, Name, Priority, Start, Context);
    if (NT_SUCCESS(Status)) {
        PsNotifyThread(*Thread, TRUE);
        KeReadyThread(&(*Thread)->Tcb);
    }
    return Status;
}

/* The body of a thread that could not be given a handle: it ends before it has begun. */
static VOID EndAtOnce(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
}

#define CURRENT_PROCESS_HANDLE ((HANDLE)(LONG_PTR)(-1))

/* Every thread is the system process's: a handle of another one must be good, and changes nothing. */
static NTSTATUS CheckProcessHandle(HANDLE ProcessHandle) {
    PVOID Process;
    if (ProcessHandle == NULL || ProcessHandle == CURRENT_PROCESS_HANDLE) {
        return STATUS_SUCCESS;
    }
    NTSTATUS Status = ObReferenceObjectByHandle(ProcessHandle, 0, *PsProcessType, KernelMode, &Process, NULL);
    if (NT_SUCCESS(Status)) {
        ObfDereferenceObject(Process);
    }
    return Status;
}

/* PASSIVE_LEVEL. The thread runs at priority 8; it may have ended before this returns. The handle must be closed with
 * ZwClose; it has the rights of DesiredAccess. STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH: ProcessHandle is none.
 * wdm.h: PsCreateSystemThread. */
NTSTATUS PsCreateSystemThread(PHANDLE ThreadHandle, ULONG DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                              HANDLE ProcessHandle, PCLIENT_ID ClientId, PKSTART_ROUTINE StartRoutine,
                              PVOID StartContext) {
    PAGED_CODE();
    if (ThreadHandle == NULL || StartRoutine == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    *ThreadHandle = NULL;
    PETHREAD Thread;
    NTSTATUS Status = CheckProcessHandle(ProcessHandle);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = CreateThread(&Thread, NULL, 8, StartRoutine, StartContext);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObInsertHandleWithAccess(Thread, DesiredAccess, ObjectAttributes ? ObjectAttributes->Attributes : 0,
                                      ThreadHandle);
    if (!NT_SUCCESS(Status)) {
        Thread->Tcb.StartRoutine = EndAtOnce;
    } else if (ClientId != NULL) {
        *ClientId = Thread->Cid;
    }
    PsNotifyThread(Thread, TRUE);
    KeReadyThread(&Thread->Tcb);
    ObfDereferenceObject(Thread);
    return Status;
}

/* thread.c: threads as drivers see them: made with a handle, queried and changed by object or handle. */
#include "psp.h"
#include <rtl.h>

/* Any IRQL, like the other questions here. */
HANDLE PsGetCurrentThreadId(VOID) {
    return PsGetCurrentThread()->Cid.UniqueThread;
}

HANDLE PsGetThreadId(PETHREAD Thread) {
    return Thread->Cid.UniqueThread;
}

HANDLE PsGetThreadProcessId(PETHREAD Thread) {
    return Thread->Cid.UniqueProcess;
}

/* There is no user mode: every thread is the system's. */
BOOLEAN PsIsSystemThread(PETHREAD Thread) {
    UNREFERENCED_PARAMETER(Thread);
    return TRUE;
}

/* It has begun to end. */
BOOLEAN PsIsThreadTerminating(PETHREAD Thread) {
    return Thread->ExitStatus != STATUS_PENDING;
}

/* STATUS_PENDING as long as it runs. */
NTSTATUS PsGetThreadExitStatus(PETHREAD Thread) {
    return Thread->ExitStatus;
}

/* ---- Setting ---- */

static NTSTATUS SetPriority(PETHREAD Thread, KPRIORITY Priority) {
    if (Priority <= LOW_PRIORITY || Priority > HIGH_PRIORITY) {
        return STATUS_INVALID_PARAMETER;
    }
    KeSetPriorityThread(&Thread->Tcb, Priority);
    return STATUS_SUCCESS;
}

/* A thread's name shows in reports; characters outside ASCII become question marks. */
static NTSTATUS SetName(PETHREAD Thread, PCUNICODE_STRING Name) {
    ULONG Length = Name->Length / sizeof(WCHAR);
    if (Name->Length % sizeof(WCHAR) != 0 || (Length != 0 && Name->Buffer == NULL)) {
        return STATUS_INVALID_PARAMETER;
    }
    Length = Length < sizeof(Thread->Tcb.Name) ? Length : sizeof(Thread->Tcb.Name) - 1;
    for (ULONG i = 0; i < Length; i++) {
        WCHAR Character = Name->Buffer[i];
        Thread->Tcb.Name[i] = Character >= ' ' && Character <= '~' ? (CHAR)Character : '?';
    }
    Thread->Tcb.Name[Length] = 0;
    return STATUS_SUCCESS;
}

static ULONG InformationBytes(THREADINFOCLASS Class) {
    switch (Class) {
    case ThreadPriority:
        return sizeof(KPRIORITY);
    case ThreadBasePriority:
        return sizeof(LONG);
    case ThreadNameInformation:
        return sizeof(UNICODE_STRING);
    default:
        return 0;
    }
}

/* PASSIVE_LEVEL. STATUS_INVALID_INFO_CLASS, STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_HANDLE,
 * STATUS_OBJECT_TYPE_MISMATCH, STATUS_INVALID_PARAMETER. ntifs.h: ZwSetInformationThread. */
NTSTATUS ZwSetInformationThread(HANDLE ThreadHandle, THREADINFOCLASS ThreadInformationClass, PVOID ThreadInformation,
                                ULONG ThreadInformationLength) {
    PETHREAD Thread;
    PAGED_CODE();
    ULONG Bytes = InformationBytes(ThreadInformationClass);
    if (Bytes == 0) {
        return STATUS_INVALID_INFO_CLASS;
    }
    if (ThreadInformationLength != Bytes) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    NTSTATUS Status = ObReferenceObjectByHandle(ThreadHandle, THREAD_SET_INFORMATION, *PsThreadType, KernelMode,
                                                (PVOID *)&Thread, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (ThreadInformationClass == ThreadPriority) {
        Status = SetPriority(Thread, *(KPRIORITY *)ThreadInformation);
    } else if (ThreadInformationClass == ThreadBasePriority) {
        KeSetBasePriorityThread(&Thread->Tcb, *(LONG *)ThreadInformation);
    } else {
        Status = SetName(Thread, ThreadInformation);
    }
    ObfDereferenceObject(Thread);
    return Status;
}

/* PASSIVE_LEVEL. Ends an alertable wait of the thread with STATUS_ALERTED, now or when it comes. ntifs.h:
 * ZwAlertThread. */
NTSTATUS ZwAlertThread(HANDLE ThreadHandle) {
    PETHREAD Thread;
    PAGED_CODE();
    NTSTATUS Status =
        ObReferenceObjectByHandle(ThreadHandle, THREAD_ALERT, *PsThreadType, KernelMode, (PVOID *)&Thread, NULL);
    if (NT_SUCCESS(Status)) {
        KeAlertThread(&Thread->Tcb, KernelMode);
        ObfDereferenceObject(Thread);
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
    Status = PspCreateThread(&Thread, NULL, 8, StartRoutine, StartContext);
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
    PspStartThread(Thread);
    ObfDereferenceObject(Thread);
    return Status;
}

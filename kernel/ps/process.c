/* process.c: the two processes of a machine without user mode: System, and Idle.
 *
 * There is one address space, so attaching to a process changes nothing but who the current process is; its rules are
 * kept all the same, for a driver that breaks them dies of it (0x05, 0x06). */
#include "psp.h"

#define IMAGE_NAME_TAG 0x6E496553U /* 'SeIn' */
#define STAYS_AT_HOME ((PKPROCESS)1)

static OBJECT_TYPE PspProcessObjectType = {.Name = "Process", .ValidAccess = PROCESS_ALL_ACCESS};
static POBJECT_TYPE ProcessTypePointer = &PspProcessObjectType;
POBJECT_TYPE *PsProcessType = &ProcessTypePointer;
PEPROCESS PsInitialSystemProcess;
PEPROCESS PsIdleProcess;

/* Never deleted: the reference that ObCreateObject gives is kept forever. */
static PEPROCESS CreateProcess(ULONG Id, PCSTR Name) {
    PEPROCESS Process = ObCreateObject(&PspProcessObjectType, sizeof(*Process));
    if (Process == NULL) {
        KeBugCheckEx(PHASE1_INITIALIZATION_FAILED, (ULONG_PTR)STATUS_INSUFFICIENT_RESOURCES, 0, 0, 0);
    }
    Process->Header.Type = ProcessObject;
    Process->Header.Size = sizeof(*Process) / sizeof(ULONG);
    InitializeListHead(&Process->Header.WaitListHead);
    Process->UniqueProcessId = ULongToHandle(Id);
    Process->ExitStatus = STATUS_PENDING;
    KeQuerySystemTime(&Process->CreateTime);
    strcpy_s(Process->ImageFileName, sizeof(Process->ImageFileName), Name);
    return Process;
}

/* Before the first thread that a driver could see. */
static VOID CreateProcesses(VOID) {
    PsIdleProcess = CreateProcess(0, "Idle");
    PsInitialSystemProcess = CreateProcess(PSP_SYSTEM_PROCESS_ID, "System");
}
KE_STARTUP_STEP(StartFirstThread, CreateProcesses);

/* Every thread is the system process's. */
static VOID JoinProcess(PETHREAD Thread, KE_THREAD_EVENT Event) {
    if (Event == ThreadInitialized) {
        Thread->Tcb.Process = PsInitialSystemProcess;
    }
}
KE_THREAD_WATCH(0, JoinProcess);

/* Any IRQL. The process whose thread it is, wherever it is attached. wdm.h: IoThreadToProcess. */
PEPROCESS IoThreadToProcess(PETHREAD Thread) {
    PKPROCESS Process = Thread->Tcb.Process;
    return Process != NULL ? Process : Thread->Cid.UniqueThread != NULL ? PsInitialSystemProcess : PsIdleProcess;
}

/* The same. */
PEPROCESS PsGetThreadProcess(PETHREAD Thread) {
    return IoThreadToProcess(Thread);
}

/* Any IRQL. The process to which the current thread is attached, or its own. No reference is taken. */
PEPROCESS IoGetCurrentProcess(VOID) {
    PKTHREAD Thread = KiCurrentThread();
    return Thread->ApcStateIndex != OriginalApcEnvironment ? Thread->AttachedProcess
                                                           : IoThreadToProcess((PETHREAD)Thread);
}

/* Any IRQL. */
HANDLE PsGetProcessId(PEPROCESS Process) {
    return Process->UniqueProcessId;
}

/* Any IRQL. The process of the current thread, wherever it is attached. */
HANDLE PsGetCurrentProcessId(VOID) {
    return IoThreadToProcess(PsGetCurrentThread())->UniqueProcessId;
}

/* Any IRQL. At most 14 characters of the name. Exported by NT, declared by no header of its. */
PCHAR PsGetProcessImageFileName(PEPROCESS Process) {
    return Process->ImageFileName;
}

/* Any IRQL. System time. */
LONGLONG PsGetProcessCreateTimeQuadPart(PEPROCESS Process) {
    return Process->CreateTime.QuadPart;
}

/* Any IRQL. STATUS_PENDING: it runs. */
NTSTATUS PsGetProcessExitStatus(PEPROCESS Process) {
    return Process->ExitStatus;
}

/* Any IRQL. These were never created. */
HANDLE PsGetProcessInheritedFromUniqueProcessId(PEPROCESS Process) {
    UNREFERENCED_PARAMETER(Process);
    return NULL;
}

/* <= APC_LEVEL. The caller drops the reference. STATUS_INVALID_CID: no such process; Idle has no client id. */
NTSTATUS PsLookupProcessByProcessId(HANDLE ProcessId, PEPROCESS *Process) {
    if ((ULONG_PTR)ProcessId != PSP_SYSTEM_PROCESS_ID) {
        return STATUS_INVALID_CID;
    }
    ObfReferenceObject(PsInitialSystemProcess);
    *Process = PsInitialSystemProcess;
    return STATUS_SUCCESS;
}

/* <= APC_LEVEL. The caller drops the reference. STATUS_INVALID_CID: no such thread, or it has ended. */
NTSTATUS PsLookupThreadByThreadId(HANDLE ThreadId, PETHREAD *Thread) {
    NTSTATUS Status = STATUS_INVALID_CID;
    KIRQL OldIrql;
    KeAcquireSpinLock(&KiDispatcherLock, &OldIrql);
    for (PLIST_ENTRY Entry = KiThreadList.Flink; Entry != &KiThreadList && !NT_SUCCESS(Status); Entry = Entry->Flink) {
        PETHREAD Found = CONTAINING_RECORD(Entry, ETHREAD, Tcb.ThreadListEntry);
        if (ThreadId != NULL && Found->Cid.UniqueThread == ThreadId) {
            ObfReferenceObject(Found); /* it holds one itself, as long as it is in the list */
            *Thread = Found;
            Status = STATUS_SUCCESS;
        }
    }
    KeReleaseSpinLock(&KiDispatcherLock, OldIrql);
    return Status;
}

/* PASSIVE_LEVEL. The caller frees the string with ExFreePool. System has no image file: its name is empty, as on
 * Windows, and still terminated. STATUS_NO_MEMORY. */
NTSTATUS SeLocateProcessImageName(PEPROCESS Process, PUNICODE_STRING *pImageFileName) {
    UNREFERENCED_PARAMETER(Process);
    PUNICODE_STRING Name = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Name) + sizeof(WCHAR), IMAGE_NAME_TAG);
    *pImageFileName = Name;
    if (Name == NULL) {
        return STATUS_NO_MEMORY;
    }
    Name->Buffer = (PWCH)(Name + 1);
    Name->Buffer[0] = 0;
    Name->Length = 0;
    Name->MaximumLength = sizeof(WCHAR);
    return STATUS_SUCCESS;
}

DECLSPEC_NORETURN static VOID RefuseAttach(PKPROCESS Process, PKTHREAD Thread) {
    KeBugCheckEx(INVALID_PROCESS_ATTACH_ATTEMPT, (ULONG_PTR)Process, (ULONG_PTR)IoGetCurrentProcess(),
                 Thread->ApcStateIndex, KeIsDpcActive());
}

/* <= APC_LEVEL, not in a DPC (0x05). ApcState remembers where the thread was, for KeUnstackDetachProcess: NULL is its own
 * process. Attachments may be nested. */
VOID KeStackAttachProcess(PRKPROCESS Process, PRKAPC_STATE ApcState) {
    PKTHREAD Thread = KiCurrentThread();
    if (KeIsDpcActive()) {
        RefuseAttach(Process, Thread);
    }
    RtlZeroMemory(ApcState, sizeof(*ApcState));
    if (IoGetCurrentProcess() == Process) {
        ApcState->Process = STAYS_AT_HOME;
        return;
    }
    ApcState->Process = Thread->ApcStateIndex != OriginalApcEnvironment ? Thread->AttachedProcess : NULL;
    Thread->AttachedProcess = Process;
    Thread->ApcStateIndex = AttachedApcEnvironment;
}

/* <= APC_LEVEL, once for each attach, in reverse order. 0x06: not attached. */
VOID KeUnstackDetachProcess(PRKAPC_STATE ApcState) {
    PKTHREAD Thread = KiCurrentThread();
    if (ApcState->Process == STAYS_AT_HOME) {
        return;
    }
    if (Thread->ApcStateIndex == OriginalApcEnvironment) {
        KeBugCheck(INVALID_PROCESS_DETACH_ATTEMPT);
    }
    Thread->AttachedProcess = ApcState->Process;
    if (ApcState->Process == NULL) {
        Thread->ApcStateIndex = OriginalApcEnvironment;
    }
}

/* <= APC_LEVEL. The form that cannot be nested: 0x05 when the thread is attached to another process already. */
VOID KeAttachProcess(PRKPROCESS Process) {
    PKTHREAD Thread = KiCurrentThread();
    if (IoGetCurrentProcess() == Process) {
        return;
    }
    if (Thread->ApcStateIndex != OriginalApcEnvironment || KeIsDpcActive()) {
        RefuseAttach(Process, Thread);
    }
    Thread->AttachedProcess = Process;
    Thread->ApcStateIndex = AttachedApcEnvironment;
}

/* <= APC_LEVEL. Nothing happens to a thread that is not attached. */
VOID KeDetachProcess(VOID) {
    PKTHREAD Thread = KiCurrentThread();
    Thread->AttachedProcess = NULL;
    Thread->ApcStateIndex = OriginalApcEnvironment;
}

/* PASSIVE_LEVEL. By client id only, of a process or of one of its threads. STATUS_INVALID_PARAMETER_MIX: by name too, or
 * by neither; STATUS_INVALID_CID. */
NTSTATUS ZwOpenProcess(PHANDLE ProcessHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                       PCLIENT_ID ClientId) {
    PEPROCESS Process;
    PETHREAD Thread;
    if (ClientId == NULL || ObjectAttributes->ObjectName != NULL) {
        return STATUS_INVALID_PARAMETER_MIX;
    }
    if (ClientId->UniqueThread != NULL) {
        NTSTATUS Status = PsLookupThreadByThreadId(ClientId->UniqueThread, &Thread);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        BOOLEAN IsOfProcess =
            ClientId->UniqueProcess == NULL || ClientId->UniqueProcess == IoThreadToProcess(Thread)->UniqueProcessId;
        Process = IoThreadToProcess(Thread);
        ObfReferenceObject(Process);
        ObfDereferenceObject(Thread);
        if (!IsOfProcess) {
            ObfDereferenceObject(Process);
            return STATUS_INVALID_CID;
        }
    } else {
        NTSTATUS Status = PsLookupProcessByProcessId(ClientId->UniqueProcess, &Process);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
    }
    NTSTATUS Status = ObInsertHandleWithAccess(Process, DesiredAccess, ObjectAttributes->Attributes & OBJ_KERNEL_HANDLE,
                                               ProcessHandle);
    ObfDereferenceObject(Process);
    return Status;
}

/* PASSIVE_LEVEL. The system process cannot be ended: STATUS_ACCESS_DENIED. STATUS_INVALID_HANDLE,
 * STATUS_OBJECT_TYPE_MISMATCH. A NULL handle means the caller's own process. */
NTSTATUS ZwTerminateProcess(HANDLE ProcessHandle, NTSTATUS ExitStatus) {
    PVOID Process;
    UNREFERENCED_PARAMETER(ExitStatus);
    if (ProcessHandle == NULL) {
        return STATUS_ACCESS_DENIED;
    }
    NTSTATUS Status =
        ObReferenceObjectByHandle(ProcessHandle, PROCESS_TERMINATE, *PsProcessType, KernelMode, &Process, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ObfDereferenceObject(Process);
    return STATUS_ACCESS_DENIED;
}

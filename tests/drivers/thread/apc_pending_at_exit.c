/* apc_pending_at_exit.c: a thread ends inside an APC's routine while another APC waits for it.
 *
 * expect: bugcheck 0x00000020 (driver, 0, 0, 0) in apc_pending_at_exit
 */
#include <ntifs.h>

typedef enum _KAPC_ENVIRONMENT {
    OriginalApcEnvironment,
    AttachedApcEnvironment,
    CurrentApcEnvironment,
    InsertApcEnvironment
} KAPC_ENVIRONMENT;

/* Exported, and in no header: who uses them declares them. */
NTKERNELAPI VOID KeInitializeApc(PRKAPC Apc, PRKTHREAD Thread, KAPC_ENVIRONMENT Environment,
                                 PKKERNEL_ROUTINE KernelRoutine, PKRUNDOWN_ROUTINE RundownRoutine,
                                 PKNORMAL_ROUTINE NormalRoutine, KPROCESSOR_MODE Mode, PVOID Context);
NTKERNELAPI BOOLEAN KeInsertQueueApc(PRKAPC Apc, PVOID Argument1, PVOID Argument2, KPRIORITY Increment);

DRIVER_INITIALIZE DriverEntry;

static KAPC Apc, Late;

static VOID Kernel(PKAPC Object, PKNORMAL_ROUTINE *Normal, PVOID *Context, PVOID *Argument1, PVOID *Argument2) {
    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Normal);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    DbgPrint("kernel\n");
}

static VOID Normal(PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    static volatile LONG Times;
    if (InterlockedIncrement(&Times) == 1) {
        KeInitializeApc(&Late, KeGetCurrentThread(), OriginalApcEnvironment, Kernel, NULL, Normal, KernelMode, NULL);
        KeInsertQueueApc(&Late, NULL, NULL, IO_NO_INCREMENT);
        PsTerminateSystemThread(STATUS_SUCCESS);
    }
}

static VOID Worker(PVOID Context) {
    LARGE_INTEGER TenMs = {.QuadPart = -100000};
    UNREFERENCED_PARAMETER(Context);
    KeInitializeApc(&Apc, KeGetCurrentThread(), OriginalApcEnvironment, Kernel, NULL, Normal, KernelMode, NULL);
    KeInsertQueueApc(&Apc, NULL, NULL, IO_NO_INCREMENT);
    KeDelayExecutionThread(KernelMode, FALSE, &TenMs);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

/* apc_normal_irql.c: the NormalRoutine of an APC returns at APC_LEVEL.
 *
 * expect: bugcheck 0x000000C8 (0x10001, driver, driver, driver) in apc_normal_irql
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

static KAPC Apc;
static FAST_MUTEX Mutex;

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
    ExAcquireFastMutex(&Mutex);
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
    ExInitializeFastMutex(&Mutex);
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

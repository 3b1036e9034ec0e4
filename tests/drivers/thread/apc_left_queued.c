/* apc_left_queued.c: an APC for user mode, queued to a thread that never goes there: it stays in the queue, and the
 * driver's memory must stay with it.
 *
 * expect: undecided an APC (apc_left_queued!Normal) is queued to thread
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

static VOID Kernel(PKAPC Object, PKNORMAL_ROUTINE *Routine, PVOID *Context, PVOID *Argument1, PVOID *Argument2) {
    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Routine);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
}

static VOID Normal(PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    DbgPrint("called\n");
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeApc(&Apc, KeGetCurrentThread(), OriginalApcEnvironment, Kernel, NULL, Normal, UserMode, NULL);
    return KeInsertQueueApc(&Apc, NULL, NULL, IO_NO_INCREMENT) ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

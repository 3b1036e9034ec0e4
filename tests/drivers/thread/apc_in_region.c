/* apc_in_region.c: a normal APC waits until the critical region is left, a special one does not; both wake a thread that waits.
 *
 * expect: completed
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

static KAPC SpecialApc, NormalApc;
static volatile LONG SpecialRuns, NormalRuns;

static VOID Special(PKAPC Object, PKNORMAL_ROUTINE *Normal, PVOID *Context, PVOID *Argument1, PVOID *Argument2) {
    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    SpecialRuns += *Normal == NULL && KeGetCurrentIrql() == APC_LEVEL;
}

static VOID Normal(PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    NormalRuns += KeGetCurrentIrql() == PASSIVE_LEVEL;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PKTHREAD Self = KeGetCurrentThread();
    LARGE_INTEGER TenMs = {.QuadPart = -100000};
    KeInitializeApc(&SpecialApc, Self, OriginalApcEnvironment, Special, NULL, NULL, KernelMode, NULL);
    KeInitializeApc(&NormalApc, Self, OriginalApcEnvironment, Special, NULL, Normal, KernelMode, NULL);
    KeEnterCriticalRegion();
    KeInsertQueueApc(&NormalApc, NULL, NULL, IO_NO_INCREMENT);
    KeInsertQueueApc(&SpecialApc, NULL, NULL, IO_NO_INCREMENT);
    KeDelayExecutionThread(KernelMode, FALSE, &TenMs);
    LONG SpecialInside = SpecialRuns, NormalInside = NormalRuns;
    KeLeaveCriticalRegion();
    KeDelayExecutionThread(KernelMode, FALSE, &TenMs);
    DbgPrint("inside: special %d, normal %d; outside: normal %d\n", SpecialInside, NormalInside, NormalRuns);
    return SpecialInside == 1 && NormalInside == 0 && NormalRuns == 1 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

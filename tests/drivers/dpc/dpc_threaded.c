/* dpc_threaded.c: a threaded DPC runs in a thread, at PASSIVE_LEVEL and the highest priority, and may be queued again.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KDPC Dpc;
static KEVENT Done;
static volatile LONG Runs, Wrong;

static VOID Routine(PKDPC DpcObject, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    Wrong += KeGetCurrentIrql() != PASSIVE_LEVEL || KeQueryPriorityThread(KeGetCurrentThread()) != HIGH_PRIORITY;
    if (InterlockedIncrement(&Runs) < 5) {
        KeInsertQueueDpc(DpcObject, NULL, NULL);
    } else {
        KeSetEvent(&Done, IO_NO_INCREMENT, FALSE);
    }
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    KeInitializeThreadedDpc(&Dpc, Routine, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    return Runs == 5 && Wrong == 0 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

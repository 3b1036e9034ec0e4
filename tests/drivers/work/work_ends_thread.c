/* work_ends_thread.c: a worker routine ends the thread that it runs on, which is the system's.
 *
 * expect: bugcheck 0x000000E9 (thread, 0, 0, 0) in work_ends_thread
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static WORK_QUEUE_ITEM Item;

static VOID Routine(PVOID Parameter) {
    UNREFERENCED_PARAMETER(Parameter);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExInitializeWorkItem(&Item, Routine, &Item);
    ExQueueWorkItem(&Item, DelayedWorkQueue);
    return STATUS_SUCCESS;
}

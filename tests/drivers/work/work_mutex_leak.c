/* work_mutex_leak.c: a worker routine returns while its thread owns a KMUTEX.
 *
 * expect: bugcheck 0x00000039 (driver, driver, driver, 0) in work_mutex_leak
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static WORK_QUEUE_ITEM Item;
static KMUTEX Mutex;

static VOID Routine(PVOID Parameter) {
    UNREFERENCED_PARAMETER(Parameter);
    KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, NULL);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeMutex(&Mutex, 0);
    ExInitializeWorkItem(&Item, Routine, &Item);
    ExQueueWorkItem(&Item, DelayedWorkQueue);
    return STATUS_SUCCESS;
}

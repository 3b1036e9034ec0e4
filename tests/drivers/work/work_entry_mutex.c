/* work_entry_mutex.c: DriverEntry returns with a KMUTEX: it runs inside the worker routine that loads drivers.
 *
 * expect: bugcheck 0x00000039 (kernel, stack, stack, 0) in work_entry_mutex
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KMUTEX Mutex;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeMutex(&Mutex, 0);
    KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, NULL);
    return STATUS_SUCCESS;
}

/* work_unload_mutex_fixed.c: DriverUnload releases the mutex.
 *
 * expect: completed
 * run: --unload
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static PKMUTEX Mutex;

static VOID Unload(PDRIVER_OBJECT DriverObject) {
    UNREFERENCED_PARAMETER(DriverObject);
    KeWaitForSingleObject(Mutex, Executive, KernelMode, FALSE, NULL);
    KeReleaseMutex(Mutex, FALSE);
    ExFreePoolWithTag(Mutex, 'xtuM');
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = Unload;
    Mutex = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof(KMUTEX), 'xtuM');
    if (Mutex == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KeInitializeMutex(Mutex, 0);
    return STATUS_SUCCESS;
}

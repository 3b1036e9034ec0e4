/* work_unload_mutex.c: DriverUnload returns with a KMUTEX.
 *
 * expect: bugcheck 0x00000039 (kernel, stack, stack, 0) in work_unload_mutex
 * run: --unload
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static PKMUTEX Mutex;

static VOID Unload(PDRIVER_OBJECT DriverObject) {
    UNREFERENCED_PARAMETER(DriverObject);
    KeWaitForSingleObject(Mutex, Executive, KernelMode, FALSE, NULL);
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

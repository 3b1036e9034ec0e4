/* mutex_recursion.c: a KMUTEX is acquired three times, released three times, and disables APCs once.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KMUTEX Mutex;
    BOOLEAN IsRight = TRUE;
    KeInitializeMutex(&Mutex, 0);
    for (LONG i = 0; i < 3; i++) {
        KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, NULL);
        IsRight = IsRight && KeReadStateMutex(&Mutex) == -i && KeAreApcsDisabled();
    }
    for (LONG i = 2; i >= 0; i--) {
        IsRight = IsRight && KeReleaseMutex(&Mutex, FALSE) == -i;
    }
    return IsRight && !KeAreApcsDisabled() ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

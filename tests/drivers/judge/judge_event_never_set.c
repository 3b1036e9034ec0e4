/* judge_event_never_set.c: DriverEntry itself waits for an event that is never set, so the load never ends.
 *
 * expect: deadlock judge_event_never_set!DriverEntry) waits for synchronization event
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KEVENT Ready;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(RegistryPath);
    UNREFERENCED_PARAMETER(DriverObject);
    KeInitializeEvent(&Ready, SynchronizationEvent, FALSE);
    return KeWaitForSingleObject(&Ready, Executive, KernelMode, FALSE, NULL);
}

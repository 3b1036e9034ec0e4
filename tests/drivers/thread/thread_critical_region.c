/* thread_critical_region.c: a thread returns early, inside a critical region.
 *
 * expect: bugcheck 0x00000020 (0, 0xFFFF, 0, 1) in thread_critical_region
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static VOID Worker(PVOID Context) {
    KeEnterCriticalRegion();
    if (Context == NULL) {
        return;
    }
    KeLeaveCriticalRegion();
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

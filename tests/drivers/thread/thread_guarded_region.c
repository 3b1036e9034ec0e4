/* thread_guarded_region.c: a thread returns early, inside a guarded region.
 *
 * expect: bugcheck 0x00000020 (0, 0xFFFF0000, 0, 1) in thread_guarded_region
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static VOID Worker(PVOID Context) {
    KeEnterGuardedRegion();
    if (Context == NULL) {
        return;
    }
    KeLeaveGuardedRegion();
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

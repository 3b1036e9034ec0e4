/* thread_raised_irql.c: a thread returns at DISPATCH_LEVEL.
 *
 * expect: bugcheck 0x00000020 (0, 0, 2, 1) in thread_raised_irql
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static VOID Worker(PVOID Context) {
    KIRQL OldIrql;
    UNREFERENCED_PARAMETER(Context);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
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

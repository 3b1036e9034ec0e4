/* thread_clock_off.c: a thread spins at HIGH_LEVEL: its CPU takes no clock interrupts any more.
 *
 * expect: bugcheck 0x00000101 (0x500, 0, *, *) in thread_clock_off
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static volatile LONG IsReady;

static VOID Worker(PVOID Context) {
    KIRQL OldIrql;
    UNREFERENCED_PARAMETER(Context);
    KeRaiseIrql(HIGH_LEVEL, &OldIrql);
    while (!IsReady) {
        YieldProcessor();
    }
    KeLowerIrql(OldIrql);
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

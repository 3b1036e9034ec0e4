/* thread_spins_at_dispatch.c: a thread waits at DISPATCH_LEVEL for a flag that only its own CPU could set.
 *
 * expect: bugcheck 0x00000133 (1, 0x1E00, 0, 0) in thread_spins_at_dispatch
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KEVENT Ready;
static volatile LONG IsReady;

static VOID SetReady(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    IsReady = 1;
    KeSetEvent(&Ready, IO_NO_INCREMENT, FALSE);
}

static VOID Worker(PVOID Context) {
    KIRQL OldIrql;
    UNREFERENCED_PARAMETER(Context);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    while (!IsReady) {
        YieldProcessor();
    }
    KeLowerIrql(OldIrql);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&Ready, NotificationEvent, FALSE);
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

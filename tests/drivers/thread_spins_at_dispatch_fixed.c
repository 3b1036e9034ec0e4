/* thread_spins_at_dispatch_fixed.c: the thread waits for an event at PASSIVE_LEVEL.
 *
 * expect: completed
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
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&Ready, Executive, KernelMode, FALSE, NULL);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&Ready, NotificationEvent, FALSE);
    HANDLE Handle;
    SetReady(NULL);
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

/* event_pulse_missed.c: KePulseEvent wakes only who waits at that instant; the thread comes a moment later.
 *
 * expect: deadlock waits for synchronization event
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KEVENT Start;

static VOID Worker(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    LARGE_INTEGER TenMs = {.QuadPart = -100000};
    KeDelayExecutionThread(KernelMode, FALSE, &TenMs);
    KeWaitForSingleObject(&Start, Executive, KernelMode, FALSE, NULL);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&Start, SynchronizationEvent, FALSE);
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    KePulseEvent(&Start, IO_NO_INCREMENT, FALSE);
    return Status;
}

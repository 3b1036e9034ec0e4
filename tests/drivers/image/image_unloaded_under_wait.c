/* image_unloaded_under_wait.c: is unloaded while a thread waits for an event in its data: when the time is over,
 * the kernel takes the thread out of the event's list, which is gone.
 *
 * expect: bugcheck 0x000000D4 (*, 2, *, kernel)
 * run: --unload
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD Unload;

static PETHREAD Thread;
static KEVENT Stop;
static KEVENT Flushed;

static VOID Routine(PVOID Context) {
    LARGE_INTEGER Delay = {.QuadPart = -50 * 10000};
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&Stop, Executive, KernelMode, FALSE, NULL);
    KeWaitForSingleObject(&Flushed, Executive, KernelMode, FALSE, &Delay);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

VOID Unload(PDRIVER_OBJECT DriverObject) {
    UNREFERENCED_PARAMETER(DriverObject);
    KeSetEvent(&Stop, IO_NO_INCREMENT, FALSE);
    ObDereferenceObject(Thread);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    HANDLE Handle;
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = Unload;
    KeInitializeEvent(&Stop, NotificationEvent, FALSE);
    KeInitializeEvent(&Flushed, NotificationEvent, FALSE);
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Routine, NULL);
    if (NT_SUCCESS(Status)) {
        Status =
            ObReferenceObjectByHandle(Handle, THREAD_ALL_ACCESS, *PsThreadType, KernelMode, (PVOID *)&Thread, NULL);
        ZwClose(Handle);
    }
    return Status;
}

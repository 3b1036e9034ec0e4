/* image_unloaded_under_thread.c: is unloaded while a thread of it sleeps: the thread comes back to code that is
 * gone.
 *
 * expect: bugcheck 0x000000CE (*, 0x10, *, 0) in *
 * repaired: image_unloaded_under_thread_fixed.c
 * run: --unload
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD Unload;

static PETHREAD Thread;

static VOID Routine(PVOID Context) {
    LARGE_INTEGER Delay = {.QuadPart = -20 * 1000 * 1000};
    UNREFERENCED_PARAMETER(Context);
    KeDelayExecutionThread(KernelMode, FALSE, &Delay);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

VOID Unload(PDRIVER_OBJECT DriverObject) {
    UNREFERENCED_PARAMETER(DriverObject);
    ObDereferenceObject(Thread);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    HANDLE Handle;
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = Unload;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Routine, NULL);
    if (NT_SUCCESS(Status)) {
        Status =
            ObReferenceObjectByHandle(Handle, THREAD_ALL_ACCESS, *PsThreadType, KernelMode, (PVOID *)&Thread, NULL);
        ZwClose(Handle);
    }
    return Status;
}

/* judge_worker.c: a thread waits until DriverUnload tells it to stop; without an unload it waits forever.
 *
 * expect: deadlock judge_worker!Serve) waits for notification event
 * repaired: judge_worker_unload.c
 */
#include <ntddk.h>

static KSTART_ROUTINE Serve;
static DRIVER_UNLOAD Unload;
DRIVER_INITIALIZE DriverEntry;

static KEVENT Stop;
static PVOID Thread;

static VOID Serve(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&Stop, Executive, KernelMode, FALSE, NULL);
}

static VOID Unload(PDRIVER_OBJECT DriverObject) {
    UNREFERENCED_PARAMETER(DriverObject);
    KeSetEvent(&Stop, IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(Thread, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(Thread);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(RegistryPath);
    HANDLE Handle;
    DriverObject->DriverUnload = Unload;
    KeInitializeEvent(&Stop, NotificationEvent, FALSE);
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Serve, NULL);
    if (NT_SUCCESS(Status)) {
        ObReferenceObjectByHandle(Handle, THREAD_ALL_ACCESS, NULL, KernelMode, &Thread, NULL);
        ZwClose(Handle);
    }
    return Status;
}

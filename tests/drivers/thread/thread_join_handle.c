/* thread_join_handle.c: DriverEntry waits for a thread by its handle and reads how it ended.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static VOID Worker(PVOID Context) {
    LARGE_INTEGER TenMs = {.QuadPart = -100000};
    KeDelayExecutionThread(KernelMode, FALSE, &TenMs);
    *(volatile LONG *)Context = 42;
    PsTerminateSystemThread(STATUS_CANCELLED);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    static volatile LONG Answer;
    HANDLE Handle;
    CLIENT_ID Cid;
    PETHREAD Thread;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, &Cid, Worker, (PVOID)&Answer);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObReferenceObjectByHandle(Handle, SYNCHRONIZE, *PsThreadType, KernelMode, (PVOID *)&Thread, NULL);
    if (NT_SUCCESS(Status)) {
        KeWaitForSingleObject(Thread, Executive, KernelMode, FALSE, NULL);
        if (PsGetThreadId(Thread) != Cid.UniqueThread || !PsIsThreadTerminating(Thread)) {
            Status = STATUS_UNSUCCESSFUL;
        }
        ObDereferenceObject(Thread);
    }
    if (ZwWaitForSingleObject(Handle, FALSE, NULL) != STATUS_SUCCESS || Answer != 42) {
        Status = STATUS_UNSUCCESSFUL;
    }
    ZwClose(Handle);
    return Status;
}

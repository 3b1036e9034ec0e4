/* notify_routines.c: a driver's notify routines see threads and drivers, and processes that never come; then they end.
 *
 * expect: completed
 * run: --cpus 2 --unload
 */
#include <ntddk.h>

static LONG Created, Ended, Images;

static VOID OnProcess(HANDLE ParentId, HANDLE ProcessId, BOOLEAN Create) {
    DbgPrint("process %p -> %p %s\n", ParentId, ProcessId, Create ? "created" : "ended");
}

static VOID OnThread(HANDLE ProcessId, HANDLE ThreadId, BOOLEAN Create) {
    UNREFERENCED_PARAMETER(ThreadId);
    if (ProcessId != (HANDLE)4) {
        KeBugCheckEx(MANUALLY_INITIATED_CRASH, (ULONG_PTR)ProcessId, 0, 0, 0);
    }
    InterlockedIncrement(Create ? &Created : &Ended);
}

static VOID OnImage(PUNICODE_STRING FullImageName, HANDLE ProcessId, PIMAGE_INFO ImageInfo) {
    DbgPrint("image %wZ at %p, process %p\n", FullImageName, ImageInfo->ImageBase, ProcessId);
    InterlockedIncrement(&Images);
}

static VOID Short(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
}

static VOID RunThread(VOID) {
    HANDLE Handle;
    if (NT_SUCCESS(PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Short, NULL))) {
        PVOID Thread;
        if (NT_SUCCESS(ObReferenceObjectByHandle(Handle, SYNCHRONIZE, *PsThreadType, KernelMode, &Thread, NULL))) {
            KeWaitForSingleObject(Thread, Executive, KernelMode, FALSE, NULL);
            ObDereferenceObject(Thread);
        }
        ZwClose(Handle);
    }
}

static VOID Unload(PDRIVER_OBJECT DriverObject) {
    UNREFERENCED_PARAMETER(DriverObject);
    DbgPrint("threads created %s, ended %s\n", Created > 0 ? "yes" : "no", Ended > 0 ? "yes" : "no");
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    NTSTATUS Status;
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = Unload;
    Status = PsSetCreateProcessNotifyRoutine(OnProcess, FALSE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    PsSetCreateThreadNotifyRoutine(OnThread);
    PsSetLoadImageNotifyRoutine(OnImage);
    RunThread();
    if (PsSetCreateProcessNotifyRoutine(OnProcess, FALSE) != STATUS_INVALID_PARAMETER) {
        return STATUS_UNSUCCESSFUL;
    }
    PsSetCreateProcessNotifyRoutine(OnProcess, TRUE);
    PsRemoveCreateThreadNotifyRoutine(OnThread);
    PsRemoveLoadImageNotifyRoutine(OnImage);
    if (Created == 0 || Ended == 0 || PsRemoveCreateThreadNotifyRoutine(OnThread) != STATUS_PROCEDURE_NOT_FOUND ||
        PsRemoveLoadImageNotifyRoutine(OnImage) != STATUS_PROCEDURE_NOT_FOUND) {
        return STATUS_UNSUCCESSFUL;
    }
    return STATUS_SUCCESS;
}

/* image_init_called_late.c: calls a function of the INIT section after DriverEntry has returned, when that
 * section is gone.
 *
 * expect: bugcheck 0x00000050 (driver, 0x10, driver, 0)
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD Unload;

static PETHREAD Thread;

static VOID OnlyAtStart(VOID);
#pragma alloc_text(INIT, OnlyAtStart)

static VOID OnlyAtStart(VOID) {
    DbgPrint("at the start\n");
}

static VOID Routine(PVOID Context) {
    LARGE_INTEGER Delay = {.QuadPart = -10 * 1000 * 1000};
    UNREFERENCED_PARAMETER(Context);
    KeDelayExecutionThread(KernelMode, FALSE, &Delay);
    OnlyAtStart();
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

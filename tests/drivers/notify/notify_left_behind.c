/* notify_left_behind.c: a driver is unloaded while its thread routine is registered; the next thread calls into nothing.
 *
 * expect: bugcheck 0x000000CE (driver, 0x10, driver, 0) in notify_left_behind
 * run: --unload
 */
#include <ntddk.h>

static VOID OnThread(HANDLE ProcessId, HANDLE ThreadId, BOOLEAN Create) {
    UNREFERENCED_PARAMETER(ProcessId);
    UNREFERENCED_PARAMETER(ThreadId);
    UNREFERENCED_PARAMETER(Create);
}

static VOID Short(PVOID Context) {
    LARGE_INTEGER Second;
    UNREFERENCED_PARAMETER(Context);
    Second.QuadPart = -1 * 10 * 1000 * 1000LL;
    KeDelayExecutionThread(KernelMode, FALSE, &Second);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static VOID Unload(PDRIVER_OBJECT DriverObject) {
    HANDLE Handle;
    UNREFERENCED_PARAMETER(DriverObject);
    PsSetCreateThreadNotifyRoutine(OnThread); /* and it is never removed */
    if (NT_SUCCESS(PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Short, NULL))) {
        ZwClose(Handle);
    }
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = Unload;
    return STATUS_SUCCESS;
}

/* judge_spins_until_unload.c: a thread asks a flag in a loop, and DriverUnload sets the flag: poor, and yet it ends.
 *
 * expect: completed
 * run: --unload --limit 2
 */
#include <ntddk.h>

static KSTART_ROUTINE Ask;
static DRIVER_UNLOAD Unload;
DRIVER_INITIALIZE DriverEntry;

static volatile BOOLEAN MustStop;
static PVOID Thread;

static VOID Ask(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    while (!MustStop) {
        YieldProcessor();
    }
}

static VOID Unload(PDRIVER_OBJECT DriverObject) {
    UNREFERENCED_PARAMETER(DriverObject);
    MustStop = TRUE;
    KeWaitForSingleObject(Thread, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(Thread);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(RegistryPath);
    HANDLE Handle;
    DriverObject->DriverUnload = Unload;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Ask, NULL);
    if (NT_SUCCESS(Status)) {
        ObReferenceObjectByHandle(Handle, THREAD_ALL_ACCESS, NULL, KernelMode, &Thread, NULL);
        ZwClose(Handle);
    }
    return Status;
}

/* thread_attached.c: a thread ends while it is attached to another process.
 *
 * expect: bugcheck 0x00000005 (nonpaged, nonpaged, 1, 0) in thread_attached
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

static KDPC Dpc;
static KTIMER Timer;
static PEPROCESS volatile Idle;

/* The timer expires on a CPU with nothing to do: there, the current process is the idle one. */
static VOID NoteProcess(PKDPC DpcObject, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(DpcObject);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    if (PsGetCurrentProcess() != PsInitialSystemProcess) {
        Idle = PsGetCurrentProcess();
    }
}

static VOID Worker(PVOID Context) {
    KAPC_STATE State;
    LARGE_INTEGER TenMs = {.QuadPart = -100000}, FiftyMs = {.QuadPart = -500000};
    UNREFERENCED_PARAMETER(Context);
    while (Idle == NULL) {
        KeSetTimer(&Timer, TenMs, &Dpc);
        KeDelayExecutionThread(KernelMode, FALSE, &FiftyMs);
    }
    KeStackAttachProcess(Idle, &State);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    HANDLE Handle;
    KeInitializeTimer(&Timer);
    KeInitializeDpc(&Dpc, NoteProcess, NULL);
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

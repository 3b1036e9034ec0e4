/* judge_serves.c: a thread sleeps and wakes, and a timer expires again and again, until DriverUnload stops them: what
 * a driver does that serves. The judge unloads it when it has seen enough.
 *
 * expect: completed
 * run: --unload
 */
#include <ntddk.h>

static KSTART_ROUTINE Serve;
static KDEFERRED_ROUTINE Tick;
static DRIVER_UNLOAD Unload;
DRIVER_INITIALIZE DriverEntry;

static KEVENT Stop;
static PVOID Thread;
static KTIMER Timer;
static KDPC Dpc;
static volatile LONG Ticks;

static VOID Serve(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    LARGE_INTEGER Pause = {.QuadPart = -10 * 1000 * 1000};
    while (KeWaitForSingleObject(&Stop, Executive, KernelMode, FALSE, &Pause) == STATUS_TIMEOUT) {
        InterlockedIncrement(&Ticks);
    }
}

static VOID Tick(PKDPC DpcObject, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(DpcObject);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    InterlockedIncrement(&Ticks);
}

static VOID Unload(PDRIVER_OBJECT DriverObject) {
    UNREFERENCED_PARAMETER(DriverObject);
    KeCancelTimer(&Timer);
    KeFlushQueuedDpcs();
    KeSetEvent(&Stop, IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(Thread, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(Thread);
    DbgPrint("%s\n", Ticks > 10 ? "served" : "stopped at once");
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(RegistryPath);
    HANDLE Handle;
    LARGE_INTEGER Due = {.QuadPart = -10 * 1000 * 1000};
    DriverObject->DriverUnload = Unload;
    KeInitializeEvent(&Stop, NotificationEvent, FALSE);
    KeInitializeTimerEx(&Timer, SynchronizationTimer);
    KeInitializeDpc(&Dpc, Tick, NULL);
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Serve, NULL);
    if (NT_SUCCESS(Status)) {
        ObReferenceObjectByHandle(Handle, THREAD_ALL_ACCESS, NULL, KernelMode, &Thread, NULL);
        ZwClose(Handle);
        KeSetTimerEx(&Timer, Due, 500, &Dpc);
    }
    return Status;
}

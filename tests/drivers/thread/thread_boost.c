/* thread_boost.c: a thread woken with an increment of 6 runs at 14 for a while, and never below its base of 8.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KEVENT Go, Done;
static volatile KPRIORITY Woken, Later;
static volatile BOOLEAN IsLast;

static VOID Worker(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    PKTHREAD Self = KeGetCurrentThread();
    LARGE_INTEGER Start, Now;
    for (;;) { /* not there yet when the event was set, or a quantum away from the CPU: once more */
        KeWaitForSingleObject(&Go, Executive, KernelMode, FALSE, NULL);
        Woken = KeQueryPriorityThread(Self);
        if (Woken == 14 || IsLast) {
            break;
        }
        KeSetEvent(&Done, IO_NO_INCREMENT, FALSE);
    }
    KeQueryTickCount(&Start);
    do { /* a quantum is two ticks, and takes one of the six */
        Later = KeQueryPriorityThread(Self);
        KeQueryTickCount(&Now);
    } while (Now.QuadPart - Start.QuadPart < 40 && Later > 8);
    KeSetEvent(&Done, IO_NO_INCREMENT, FALSE);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    HANDLE Handle;
    LARGE_INTEGER TenMs = {.QuadPart = -100000};
    KeInitializeEvent(&Go, SynchronizationEvent, FALSE);
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ZwClose(Handle);
    for (ULONG Round = 0; Round < 20 && Woken != 14; Round++) {
        IsLast = Round == 19;
        KeDelayExecutionThread(KernelMode, FALSE, &TenMs);
        KeSetEvent(&Go, IO_KEYBOARD_INCREMENT, FALSE);
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    }
    DbgPrint("woken at %d, later at %d\n", Woken, Later);
    return Woken == 14 && Later == 8 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

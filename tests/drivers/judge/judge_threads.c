/* judge_threads.c: three threads that work and end; the driver has completed when the last of them has.
 *
 * expect: completed
 */
#include <ntddk.h>

static KSTART_ROUTINE Work;
DRIVER_INITIALIZE DriverEntry;

static volatile LONG Done;

static VOID Work(PVOID Context) {
    LARGE_INTEGER Delay = {.QuadPart = -100000 * (LONGLONG)(ULONG_PTR)Context};
    KeDelayExecutionThread(KernelMode, FALSE, &Delay);
    DbgPrint("thread %d: %d done\n", (int)(ULONG_PTR)Context, (int)InterlockedIncrement(&Done));
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    for (ULONG_PTR i = 1; i <= 3; i++) {
        HANDLE Thread;
        NTSTATUS Status = PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Work, (PVOID)i);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        ZwClose(Thread);
    }
    return STATUS_SUCCESS;
}

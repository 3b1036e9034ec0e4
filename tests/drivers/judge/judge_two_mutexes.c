/* judge_two_mutexes.c: two threads take two mutexes in opposite order and wait for each other; the heartbeat beside them
 * goes on forever and does not hide it.
 *
 * expect: deadlock owned by thread
 */
#include <ntddk.h>

static KSTART_ROUTINE TakeBoth, Beat;
DRIVER_INITIALIZE DriverEntry;

static KMUTEX First, Second;
static volatile LONG Finished;

static VOID Sleep(LONG Milliseconds) {
    LARGE_INTEGER Delay = {.QuadPart = -10000LL * Milliseconds};
    KeDelayExecutionThread(KernelMode, FALSE, &Delay);
}

static VOID TakeBoth(PVOID Context) {
    BOOLEAN IsForward = (Context == NULL);
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(IsForward ? &First : &Second, Executive, KernelMode, FALSE, NULL);
    Sleep(50);
    KeWaitForSingleObject(IsForward ? &Second : &First, Executive, KernelMode, FALSE, NULL);
    KeReleaseMutex(&Second, FALSE);
    KeReleaseMutex(&First, FALSE);
    InterlockedIncrement(&Finished);
}

static VOID Beat(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    while (Finished < 2) {
        Sleep(20);
    }
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    static const PKSTART_ROUTINE Routines[] = {TakeBoth, TakeBoth, Beat};
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeMutex(&First, 0);
    KeInitializeMutex(&Second, 0);
    for (ULONG_PTR i = 0; i < 3; i++) {
        HANDLE Thread;
        NTSTATUS Status = PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Routines[i], (PVOID)i);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        ZwClose(Thread);
    }
    return STATUS_SUCCESS;
}

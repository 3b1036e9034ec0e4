/* timer_periodic.c: a periodic timer fires ten times and is cancelled; a coalescable one once; an absolute one at its time.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KDPC Dpc;
static KTIMER Timer;
static KEVENT Done;
static volatile LONG Runs;

static VOID Expired(PKDPC DpcObject, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(DpcObject);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    if (InterlockedIncrement(&Runs) == 10) {
        KeSetEvent(&Done, IO_NO_INCREMENT, FALSE);
    }
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    LARGE_INTEGER TwentyMs = {.QuadPart = -200000}, Due, Now;
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    KeInitializeTimerEx(&Timer, SynchronizationTimer);
    KeInitializeDpc(&Dpc, Expired, NULL);
    KeSetTimerEx(&Timer, TwentyMs, 20, &Dpc);
    KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    BOOLEAN WasSet = KeCancelTimer(&Timer), WasSetAgain = KeCancelTimer(&Timer);
    KeFlushQueuedDpcs();
    KeSetCoalescableTimer(&Timer, TwentyMs, 0, 100, NULL);
    KeWaitForSingleObject(&Timer, Executive, KernelMode, FALSE, NULL);
    BOOLEAN IsReset = !KeReadStateTimer(&Timer);
    KeQuerySystemTime(&Due);
    Due.QuadPart += 500000;
    KeDelayExecutionThread(KernelMode, FALSE, &Due);
    KeQuerySystemTime(&Now);
    DbgPrint("%d times\n", Runs);
    return WasSet && !WasSetAgain && IsReset && Now.QuadPart >= Due.QuadPart ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

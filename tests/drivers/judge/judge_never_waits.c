/* judge_never_waits.c: a thread computes for half a minute, without a wait or a call: it gets somewhere, and is no spin.
 *
 * expect: completed
 */
#include <ntddk.h>

#define NUMBERS 250000 /* 26 million steps */

DRIVER_INITIALIZE DriverEntry;

/* How often a number is halved, or tripled plus one, until it is 1. */
static ULONG StepsFrom(ULONG64 Number) {
    ULONG Steps = 0;
    for (; Number != 1; Steps++) {
        Number = Number % 2 == 0 ? Number / 2 : 3 * Number + 1;
    }
    return Steps;
}

static VOID FindLongest(PVOID Context) {
    ULONG Longest = 0, Steps = 0;
    UNREFERENCED_PARAMETER(Context);
    for (ULONG Number = 1; Number < NUMBERS; Number++) {
        ULONG These = StepsFrom(Number);
        if (These > Steps) {
            Steps = These;
            Longest = Number;
        }
    }
    DbgPrint("%u takes %u steps\n", Longest, Steps);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    HANDLE Thread;
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    NTSTATUS Status = PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, FindLongest, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Thread);
    }
    return Status;
}

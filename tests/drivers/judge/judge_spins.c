/* judge_spins.c: a thread polls a flag that is never set, at PASSIVE_LEVEL: no watchdog sees that.
 *
 * expect: undecided judge_spins!Poll
 * run: --limit 2
 */
#include <ntddk.h>

static KSTART_ROUTINE Poll;
DRIVER_INITIALIZE DriverEntry;

static volatile BOOLEAN Flag;

static VOID Poll(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    while (!Flag) {
    }
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(RegistryPath);
    HANDLE Thread;
    UNREFERENCED_PARAMETER(DriverObject);
    NTSTATUS Status = PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Poll, NULL);
    return NT_SUCCESS(Status) ? ZwClose(Thread) : Status;
}

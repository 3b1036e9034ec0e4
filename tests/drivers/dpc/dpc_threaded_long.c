/* dpc_threaded_long.c: a timer's threaded DPC works for two seconds, long after DriverEntry has returned; it is waited for.
 *
 * expect: bugcheck 0xDEAD0001 (0, 0, 0, 0) in dpc_threaded_long
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KTIMER Timer;
static KDPC Dpc;

static VOID Work(PKDPC Self, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Self);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    ULONGLONG Start = KeQueryInterruptTime();
    while (KeQueryInterruptTime() - Start < 20000000) {
        KeStallExecutionProcessor(50);
    }
    KeBugCheckEx(0xDEAD0001, 0, 0, 0, 0);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    LARGE_INTEGER DueTime;
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeThreadedDpc(&Dpc, Work, NULL);
    KeInitializeTimer(&Timer);
    DueTime.QuadPart = -500000;
    KeSetTimer(&Timer, DueTime, &Dpc);
    return STATUS_SUCCESS;
}

/* judge_event_never_set_fixed.c: the timer that sets the event is set before DriverEntry waits for it.
 *
 * expect: completed
 */
#include <ntddk.h>

static KDEFERRED_ROUTINE Announce;
DRIVER_INITIALIZE DriverEntry;

static KEVENT Ready;
static KTIMER Timer;
static KDPC Dpc;

static VOID Announce(PKDPC TheDpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(TheDpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeSetEvent(&Ready, IO_NO_INCREMENT, FALSE);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(RegistryPath);
    LARGE_INTEGER Due = {.QuadPart = -100000};
    UNREFERENCED_PARAMETER(DriverObject);
    KeInitializeEvent(&Ready, SynchronizationEvent, FALSE);
    KeInitializeTimer(&Timer);
    KeInitializeDpc(&Dpc, Announce, NULL);
    KeSetTimer(&Timer, Due, &Dpc);
    return KeWaitForSingleObject(&Ready, Executive, KernelMode, FALSE, NULL);
}

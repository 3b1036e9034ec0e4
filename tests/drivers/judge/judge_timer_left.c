/* judge_timer_left.c: a periodic timer is left running: nothing waits, nothing crashes, and nothing is over either.
 *
 * expect: undecided judge_timer_left!Tick
 * run: --limit 5
 */
#include <ntddk.h>

static KDEFERRED_ROUTINE Tick;
DRIVER_INITIALIZE DriverEntry;

static KTIMER Timer;
static KDPC Dpc;
static volatile LONG Ticks;

static VOID Tick(PKDPC TheDpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(TheDpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    InterlockedIncrement(&Ticks);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(RegistryPath);
    LARGE_INTEGER Due = {.QuadPart = -100000};
    UNREFERENCED_PARAMETER(DriverObject);
    KeInitializeTimer(&Timer);
    KeInitializeDpc(&Dpc, Tick, NULL);
    KeSetTimerEx(&Timer, Due, 100, &Dpc);
    return STATUS_SUCCESS;
}

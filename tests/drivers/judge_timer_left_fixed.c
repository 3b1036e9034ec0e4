/* judge_timer_left_fixed.c: the fifth tick cancels the periodic timer.
 *
 * expect: completed
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
    if (InterlockedIncrement(&Ticks) == 5) {
        KeCancelTimer(&Timer);
    }
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

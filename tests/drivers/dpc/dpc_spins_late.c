/* dpc_spins_late.c: a timer's DPC, on a CPU of its own, never returns; DriverEntry has returned long ago.
 *
 * expect: bugcheck 0x00000133 (0, 0x501, 0x500, 0) in dpc_spins_late
 * repaired: dpc_spins.fix
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KTIMER Timer;
static KDPC Dpc;
static volatile LONG Never;

static VOID Spin(PKDPC Self, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Self);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    while (!Never) {
        YieldProcessor();
    }
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    LARGE_INTEGER DueTime;
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeDpc(&Dpc, Spin, NULL);
    KeSetTargetProcessorDpc(&Dpc, 2);
    KeInitializeTimer(&Timer);
    DueTime.QuadPart = -500000;
    KeSetTimer(&Timer, DueTime, &Dpc);
    return STATUS_SUCCESS;
}

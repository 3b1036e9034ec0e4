/* trap_in_interrupt_fixed.c: the other CPUs only count themselves.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static volatile LONG Others;

static ULONG_PTR Everywhere(ULONG_PTR Caller) {
    if (KeGetCurrentProcessorNumber() != Caller) {
        InterlockedIncrement(&Others);
    }
    return 0;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KIRQL OldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql); /* so that the number stays right */
    KeIpiGenericCall(Everywhere, KeGetCurrentProcessorNumber());
    KeLowerIrql(OldIrql);
    return Others == (LONG)KeQueryActiveProcessorCount(NULL) - 1 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

/* trap_in_interrupt.c: an illegal instruction on all CPUs but the caller's, inside the interrupt that KeIpiGenericCall
 * sends them: no thread and no DPC runs there, so it is the interrupt dispatcher's.
 *
 * expect: bugcheck 0x0000003D (*, *, 0, 0) in trap_in_interrupt!Everywhere
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static ULONG_PTR Everywhere(ULONG_PTR Caller) {
    if (KeGetCurrentProcessorNumber() != Caller) {
        __asm__ volatile("ud2");
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
    return STATUS_SUCCESS;
}

/* fault_probe_kernel.c: probes a buffer of the kernel as if a program had sent it.
 *
 * expect: bugcheck 0x0000007E (0xFFFFFFFFC0000005, *, stack, stack) in fault_probe_kernel!CheckBuffer
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

/* Of a METHOD_NEITHER request: the mode says whose address it is. */
static VOID CheckBuffer(PVOID Buffer, ULONG Length, KPROCESSOR_MODE Mode) {
    ProbeForRead(Buffer, 0, sizeof(ULONG));
    ProbeForRead((PVOID)0x10000, Length, sizeof(ULONG));
    DbgPrint("mode %d\n", Mode);
    ProbeForRead(Buffer, Length, sizeof(ULONG));
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    ULONG Value = 5;
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    CheckBuffer(&Value, sizeof(Value), ExGetPreviousMode());
    return STATUS_SUCCESS;
}

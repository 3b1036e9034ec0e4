/* fault_driver_portion.c: has the kernel read a pageable function of the driver at DISPATCH_LEVEL.
 *
 * expect: bugcheck 0x000000D3 (driver, 2, 0, kernel) in fault_driver_portion!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

VOID Pageable(VOID);
#pragma alloc_text(PAGE, Pageable)

VOID Pageable(VOID) {
    PAGED_CODE();
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    UCHAR Code[8];
    KIRQL OldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    RtlCopyMemory(Code, (PVOID)(ULONG_PTR)Pageable, sizeof(Code));
    KeLowerIrql(OldIrql);
    DbgPrint("first byte %02x\n", Code[0]);
    return STATUS_SUCCESS;
}

/* page_code_at_dispatch.c: calls a function of a PAGE section at DISPATCH_LEVEL.
 *
 * expect: bugcheck 0x000000D1 (driver, 2, 8, driver) in page_code_at_dispatch!Pageable
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

VOID Pageable(VOID);
#pragma alloc_text(PAGE, Pageable)

VOID Pageable(VOID) {
    DbgPrint("pageable code runs\n");
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KIRQL OldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    Pageable();
    KeLowerIrql(OldIrql);
    return STATUS_SUCCESS;
}

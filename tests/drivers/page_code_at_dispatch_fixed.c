/* page_code_at_dispatch_fixed.c: locks the section first.
 *
 * expect: completed
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
    PVOID Section = MmLockPagableCodeSection(Pageable);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    Pageable();
    KeLowerIrql(OldIrql);
    MmUnlockPagableImageSection(Section);
    return STATUS_SUCCESS;
}

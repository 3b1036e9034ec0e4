/* print_wide_luck.c: %S at DISPATCH_LEVEL, without the verifier: the code page happens to be in memory, and nothing
 * happens. Do not rely on that; print_wide_at_dispatch.c shows why.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KIRQL OldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    DbgPrint("%S\n", L"luck");
    KeLowerIrql(OldIrql);
    return STATUS_SUCCESS;
}

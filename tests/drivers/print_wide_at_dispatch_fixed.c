/* print_wide_at_dispatch_fixed.c: makes the wide text narrow before it raises the IRQL.
 *
 * expect: completed
 * run: --verifier
 */
#include <ntddk.h>
#include <ntstrsafe.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"a name in nonpaged memory");
    CHAR Narrow[64];
    KIRQL OldIrql;
    NTSTATUS Status = RtlStringCbPrintfA(Narrow, sizeof(Narrow), "%wZ", &Name);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    DbgPrint("%s was made narrow at PASSIVE_LEVEL\n", Narrow);
    KeLowerIrql(OldIrql);
    return Status;
}

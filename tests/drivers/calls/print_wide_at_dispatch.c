/* print_wide_at_dispatch.c: prints a wide string at DISPATCH_LEVEL. Its characters go through the code page, and that is
 * pageable: luck while it is in memory, certain under the verifier, which takes it out first.
 *
 * expect: bugcheck 0x0000000A (paged, 2, 0, kernel) in print_wide_at_dispatch!DriverEntry
 * run: --verifier
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"a name in nonpaged memory");
    KIRQL OldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    DbgPrint("narrow text is printed at any IRQL\n");
    DbgPrint("%wZ is not\n", &Name);
    KeLowerIrql(OldIrql);
    return STATUS_SUCCESS;
}

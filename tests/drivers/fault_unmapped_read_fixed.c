/* fault_unmapped_read_fixed.c: asks first. That is no protection (the answer may be stale at once), but here
 * nobody else is there.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    volatile ULONG *Pointer = (volatile ULONG *)0xFFFFFAE000000000;
    if (MmIsAddressValid((PVOID)Pointer)) {
        DbgPrint("%u\n", *Pointer);
    }
    return STATUS_SUCCESS;
}

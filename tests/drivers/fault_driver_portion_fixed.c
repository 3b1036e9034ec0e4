/* fault_driver_portion_fixed.c: reads it at PASSIVE_LEVEL.
 *
 * expect: completed
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
    RtlCopyMemory(Code, (PVOID)(ULONG_PTR)Pageable, sizeof(Code));
    DbgPrint("first byte %02x\n", Code[0]);
    return STATUS_SUCCESS;
}
